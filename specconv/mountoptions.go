package specconv

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// optionKind says what a mount option changes.
type optionKind uint8

const (
	optIgnored             optionKind = iota // known, but without effect here
	optAttrSet                               // sets an attribute of the mount
	optAttrClear                             // clears one
	optRecSet                                // sets an attribute of the mount and of all mounts below it
	optRecClear                              // clears one
	optSuperSet                              // sets a flag of the filesystem
	optSuperClear                            // clears one
	optBind                                  // bind mount
	optRbind                                 // recursive bind mount
	optRemount                               // changes an existing mount
	optCopyUp                                // tmpcopyup
	optIDMap                                 // idmap, ridmap
	optCopySymlink                           // crun's copy-symlink
	optSourceNoFollow                        // crun's src-nofollow
	optDestinationNoFollow                   // crun's dest-nofollow
	optData                                  // filesystem-specific, in the table because bind mounts may have it
)

// mountOption is one row of the table of mount options.
type mountOption struct {
	name string
	kind optionKind
	attr uint64 // MOUNT_ATTR_*
	// super is the filesystem's flag in fsconfig's spelling.
	super string
}

// mountOptions is the table of all mount options (config.md, "Linux mount options") except the
// propagation modes, sorted by name. fsconfig(2) has no iversion (filesystems that count changes do
// so on their own since Linux 6.x), and silent only keeps mount(2) from writing to the kernel's
// log, which the descriptor-based calls never do. rsync and similar are crun's: no kernel sets a
// filesystem's flags for all mounts below.
var mountOptions = [...]mountOption{
	{"acl", optData, 0, ""},
	{"async", optSuperClear, 0, "sync"},
	{"atime", optAttrClear, unix.MOUNT_ATTR_NOATIME, ""},
	{"bind", optBind, 0, ""},
	{"copy-symlink", optCopySymlink, 0, ""},
	{"defaults", optIgnored, 0, ""},
	{"dest-nofollow", optDestinationNoFollow, 0, ""},
	{"dev", optAttrClear, unix.MOUNT_ATTR_NODEV, ""},
	{"diratime", optAttrClear, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"dirsync", optSuperSet, 0, "dirsync"},
	{"exec", optAttrClear, unix.MOUNT_ATTR_NOEXEC, ""},
	{"idmap", optIDMap, 0, ""},
	{"iversion", optIgnored, 0, ""},
	{"lazytime", optSuperSet, 0, "lazytime"},
	{"loud", optIgnored, 0, ""},
	{"mand", optSuperSet, 0, "mand"},
	{"noacl", optData, 0, ""},
	{"noatime", optAttrSet, unix.MOUNT_ATTR_NOATIME, ""},
	{"nodev", optAttrSet, unix.MOUNT_ATTR_NODEV, ""},
	{"nodiratime", optAttrSet, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"noexec", optAttrSet, unix.MOUNT_ATTR_NOEXEC, ""},
	{"noiversion", optIgnored, 0, ""},
	{"nolazytime", optSuperClear, 0, "lazytime"},
	{"nomand", optSuperClear, 0, "mand"},
	{"norelatime", optAttrClear, unix.MOUNT_ATTR_RELATIME, ""},
	{"nostrictatime", optAttrClear, unix.MOUNT_ATTR_STRICTATIME, ""},
	{"nosuid", optAttrSet, unix.MOUNT_ATTR_NOSUID, ""},
	{"nosymfollow", optAttrSet, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
	{"rasync", optIgnored, 0, ""},
	{"ratime", optRecClear, unix.MOUNT_ATTR_NOATIME, ""},
	{"rbind", optRbind, 0, ""},
	{"rdev", optRecClear, unix.MOUNT_ATTR_NODEV, ""},
	{"rdiratime", optRecClear, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"rdirsync", optIgnored, 0, ""},
	{"relatime", optAttrSet, unix.MOUNT_ATTR_RELATIME, ""},
	{"remount", optRemount, 0, ""},
	{"rexec", optRecClear, unix.MOUNT_ATTR_NOEXEC, ""},
	{"ridmap", optIDMap, 0, ""},
	{"rmand", optIgnored, 0, ""},
	{"rnoatime", optRecSet, unix.MOUNT_ATTR_NOATIME, ""},
	{"rnodev", optRecSet, unix.MOUNT_ATTR_NODEV, ""},
	{"rnodiratime", optRecSet, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"rnoexec", optRecSet, unix.MOUNT_ATTR_NOEXEC, ""},
	{"rnomand", optIgnored, 0, ""},
	{"rnorelatime", optRecClear, unix.MOUNT_ATTR_RELATIME, ""},
	{"rnostrictatime", optRecClear, unix.MOUNT_ATTR_STRICTATIME, ""},
	{"rnosuid", optRecSet, unix.MOUNT_ATTR_NOSUID, ""},
	{"rnosymfollow", optRecSet, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
	{"ro", optAttrSet, unix.MOUNT_ATTR_RDONLY, "ro"},
	{"rrelatime", optRecSet, unix.MOUNT_ATTR_RELATIME, ""},
	{"rro", optRecSet, unix.MOUNT_ATTR_RDONLY, ""},
	{"rrw", optRecClear, unix.MOUNT_ATTR_RDONLY, ""},
	{"rstrictatime", optRecSet, unix.MOUNT_ATTR_STRICTATIME, ""},
	{"rsuid", optRecClear, unix.MOUNT_ATTR_NOSUID, ""},
	{"rsymfollow", optRecClear, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
	{"rsync", optIgnored, 0, ""},
	{"rw", optAttrClear, unix.MOUNT_ATTR_RDONLY, "ro"},
	{"silent", optIgnored, 0, ""},
	{"src-nofollow", optSourceNoFollow, 0, ""},
	{"strictatime", optAttrSet, unix.MOUNT_ATTR_STRICTATIME, ""},
	{"suid", optAttrClear, unix.MOUNT_ATTR_NOSUID, ""},
	{"symfollow", optAttrClear, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
	{"sync", optSuperSet, 0, "sync"},
	{"tmpcopyup", optCopyUp, 0, ""},
}

// MountOptionNames returns all known mount options, sorted.
func MountOptionNames() []string {
	names := propagations.names()
	for i := range mountOptions {
		names = append(names, mountOptions[i].name)
	}
	slices.Sort(names)
	return names
}

// findMountOption looks a name up in the table.
func findMountOption(name string) *mountOption {
	i, ok := slices.BinarySearchFunc(mountOptions[:], name, func(o mountOption, name string) int { return strings.Compare(o.name, name) })
	if !ok {
		return nil
	}
	return &mountOptions[i]
}

// addOption applies one option to m; a later option overrides an earlier one. It reports whether
// the option is known. The caller handles unknown ones, whose meaning depends on later options.
func (m *Mount) addOption(name string) bool {
	if flag, ok := PropagationFlag(name); ok {
		m.Propagation = flag
		return true
	}
	o := findMountOption(name)
	if o == nil {
		return false
	}
	m.noteExact(o)
	switch o.kind {
	case optAttrSet:
		setAttr(&m.AttrSet, &m.AttrClear, o.attr)
		m.setSuper(o.super)
	case optAttrClear:
		clearAttr(&m.AttrSet, &m.AttrClear, o.attr)
		m.clearSuper(o.super)
	case optRecSet:
		setAttr(&m.RecAttrSet, &m.RecAttrClear, o.attr)
	case optRecClear:
		clearAttr(&m.RecAttrSet, &m.RecAttrClear, o.attr)
	case optSuperSet:
		m.setSuper(o.super)
	case optSuperClear:
		m.clearSuper(o.super)
	case optBind:
		m.Bind = true
	case optRbind:
		m.Bind, m.Recursive = true, true
	case optRemount:
		m.Remount = true
	case optCopyUp:
		m.TmpCopyUp = true
	case optData:
		m.Data = append(m.Data, name)
	case optIDMap:
		m.IDMap = &MountIDMap{Recursive: name == "ridmap"}
	case optCopySymlink:
		m.CopySymlink = true
	case optSourceNoFollow:
		m.SourceNoFollow = true
	case optDestinationNoFollow:
		m.DestinationNoFollow = true
	case optIgnored:
	}
	return true
}

// noteExact sets Exact and AtimeNamed for an option of a bind mount. An option that clears what was
// named takes that back.
func (m *Mount) noteExact(o *mountOption) {
	switch o.kind {
	case optSuperSet, optSuperClear, optAttrSet, optAttrClear:
		m.Exact = true
	}
	const atime = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME
	switch {
	case o.attr&^atime != 0 || o.super != "":
	case o.kind == optAttrSet:
		m.AtimeNamed = true
	case o.kind == optAttrClear && m.AttrSet&atime == o.attr:
		m.AtimeNamed = false
	}
}

// setAttr adds attr to the attributes to set. The access time modes are values of one field, not
// bits, and relatime is 0: to set one, mount_setattr(2) wants the whole field in the attributes to
// clear.
func setAttr(set, clr *uint64, attr uint64) {
	if attr&^unix.MOUNT_ATTR__ATIME == 0 {
		*clr |= unix.MOUNT_ATTR__ATIME
		*set = *set&^unix.MOUNT_ATTR__ATIME | attr
		return
	}
	*clr &^= attr
	*set |= attr
}

// clearAttr adds attr to the attributes to clear. An access time without a mode falls back to the
// kernel's default, relatime.
func clearAttr(set, clr *uint64, attr uint64) {
	*set &^= attr
	if attr&^unix.MOUNT_ATTR__ATIME == 0 {
		attr = unix.MOUNT_ATTR__ATIME
	}
	*clr |= attr
}

func (m *Mount) setSuper(flag string) {
	if flag != "" && !slices.Contains(m.SuperFlags, flag) {
		m.SuperFlags = append(m.SuperFlags, flag)
	}
}

func (m *Mount) clearSuper(flag string) {
	if i := slices.Index(m.SuperFlags, flag); i >= 0 {
		m.SuperFlags = slices.Delete(m.SuperFlags, i, i+1)
	}
}
