package setup

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// mountNew mounts a new file system.
type mountNew struct {
	specconv.Mount
	Options []string // as configured, for people
	// ReadOnlyLater is set when something has yet to be made in the mount, which is made read-only after all.
	ReadOnlyLater bool
	// Keep is set when later steps refer to the mount.
	Keep bool
}

func (m mountNew) Verb() string      { return "mount" }
func (mountNew) Needs() []Descriptor { return nil }
func (mountNew) phase() phase        { return phaseMounts }
func (mountNew) descriptors() int    { return 3 }

func (m mountNew) String() string {
	return "mount " + m.Type + " on " + m.Destination + optionList(m.Options)
}

func optionList(options []string) string {
	if len(options) == 0 {
		return ""
	}
	return ", " + strings.Join(options, ",")
}

func (m mountNew) lower(l *lowering) {
	mount := nsenter.Reg(0)
	if m.Keep || m.Destination == "/" {
		mount = l.keep()
	} else {
		mount = l.fd()
	}
	kind := aFolder
	if m.Type == "proc" || m.Type == "sysfs" {
		kind = realFolder // CVE-2019-19921, CVE-2023-27561
	}
	if m.TmpCopyUp {
		m.copyUp(l, mount)
		return
	}
	l.newMount(mount, m.Type, m.Source, m.parameters(), m.attributes())
	m.propagate(l, mount)
	l.move(mount, l.mountPoint(m.Destination, kind))
	m.remember(l, mount)
}

// remember notes what later steps use.
func (m mountNew) remember(l *lowering, mount nsenter.Reg) {
	l.noteMount(m.Destination, mount, m.Keep, m.Keep && m.Type == "tmpfs" && !m.TmpCopyUp)
	switch {
	case m.Type == "proc" && m.Destination == "/proc" && m.Keep:
		l.procfs, l.hasProc = mount, true
	case m.Type == "devpts" && m.Destination == "/dev/pts" && m.Keep:
		l.devpts, l.hasPts = mount, true
	}
}

// noteMount remembers a mount. One on the root takes the root's place.
func (l *lowering) noteMount(destination string, mount nsenter.Reg, kept, fresh bool) {
	if destination == "/" {
		l.root = mount
	}
	l.mounted = append(l.mounted, mounted{destination: destination, fd: mount, kept: kept, fresh: fresh})
}

// copyUp mounts a tmpfs that has a copy of the folder that it covers. The copying is the runtime's to do: the image's files may be
// of any kind and number.
func (m mountNew) copyUp(l *lowering, mount nsenter.Reg) {
	to, from := l.mountPoint(m.Destination, aFolder), l.fd()
	l.open(from, to, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, inRoot)
	attributes := m.attributes()
	l.newMount(mount, m.Type, m.Source, m.parameters(), attributes&^unix.MOUNT_ATTR_RDONLY)
	l.sendFile(MessageCopyFrom, from, nil)
	l.sendFile(MessageCopyTo, mount, nil)
	l.await()
	if attributes&unix.MOUNT_ATTR_RDONLY != 0 {
		l.setattr(mount, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
	}
	m.propagate(l, mount)
	l.move(mount, to)
	m.remember(l, mount)
}

// propagate appends what sets the mount's propagation, if the configuration does.
func (m mountNew) propagate(l *lowering, mount nsenter.Reg) {
	if m.Propagation != 0 {
		l.setattr(mount, unix.MountAttr{Propagation: m.Propagation &^ unix.MS_REC}, false)
	}
}

// attributes returns the attributes that the mount is made with. There is nothing below it, so the recursive ones are its own,
// too.
func (m mountNew) attributes() uint64 {
	set := m.AttrSet&^m.RecAttrClear | m.RecAttrSet
	if m.ReadOnlyLater {
		set &^= unix.MOUNT_ATTR_RDONLY
	}
	return set
}

// parameters returns the parameters of the file system. A read-only one could not be filled.
func (m mountNew) parameters() []string {
	if !m.ReadOnlyLater && !m.TmpCopyUp || len(m.SuperFlags) == 0 {
		return append(m.SuperFlags[:len(m.SuperFlags):len(m.SuperFlags)], m.Data...)
	}
	list := make([]string, 0, len(m.SuperFlags)+len(m.Data))
	for _, f := range m.SuperFlags {
		if f != "ro" {
			list = append(list, f)
		}
	}
	return append(list, m.Data...)
}

// newMount appends what makes a detached mount of a new file system.
func (l *lowering) newMount(mount nsenter.Reg, fstype, source string, parameters []string, attributes uint64) {
	fs := l.fd()
	l.call(unix.SYS_FSOPEN, l.str(fstype), nsenter.Int(unix.FSOPEN_CLOEXEC)).Result(fs)
	if source != "" {
		l.setString(fs, "source", source)
	}
	l.configure(fs, fstype, parameters)
	l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_CMD_CREATE))
	l.call(unix.SYS_FSMOUNT, fs, nsenter.Int(unix.FSMOUNT_CLOEXEC), nsenter.Int(attributes)).Result(mount)
}

// configure appends the setting of a file system's parameters: "mode=755" or "ro".
func (l *lowering) configure(fs nsenter.Reg, fstype string, parameters []string) {
	for _, p := range parameters {
		// mount(2) takes one string with commas between the parameters, so one entry may be several. In overlay's paths, a comma may
		// stand for itself.
		if strings.IndexByte(p, ',') < 0 || fstype == "overlay" || strings.ContainsAny(p, `\"`) {
			l.parameter(fs, p)
			continue
		}
		for one := range strings.SplitSeq(p, ",") {
			if one != "" {
				l.parameter(fs, one)
			}
		}
	}
}

func (l *lowering) parameter(fs nsenter.Reg, p string) {
	key, value, ok := strings.Cut(p, "=")
	if !ok {
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_SET_FLAG), l.str(key))
		return
	}
	l.setString(fs, key, value)
}

func (l *lowering) setString(fs nsenter.Reg, key, value string) {
	l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_SET_STRING), l.str(key), l.str(value), nsenter.Int(0))
}

// bindMount shows a file or folder of the host in the container.
type bindMount struct {
	specconv.Mount
	Options       []string
	File          bool // the source is no folder
	ReadOnlyLater bool
	Keep          bool // later steps refer to the mount
	Passed        bool // the runtime passes the copy: see bindRoot
}

func (m bindMount) Verb() string { return "bind" }

func (m bindMount) tree() nsenter.FD { return nsenter.FD("source of " + element("mounts", m.Index)) }

func (m bindMount) Needs() []Descriptor {
	if !m.Passed {
		return nil
	}
	return []Descriptor{{Name: m.tree(), Path: m.Source, Tree: true, Recursive: m.Recursive, Part: "source"}}
}
func (bindMount) phase() phase     { return phaseMounts }
func (bindMount) descriptors() int { return 2 }

func (m bindMount) String() string {
	return "bind " + m.Source + " on " + m.Destination + optionList(m.Options)
}

func (m bindMount) lower(l *lowering) {
	mount := nsenter.Reg(0)
	if m.Keep || m.Destination == "/" {
		mount = l.keep()
	} else {
		mount = l.fd()
	}
	if m.Passed {
		l.prog.Set(mount, m.tree())
		// What the copy is a peer of lies in the runtime's namespace: mounts in the container must not show there.
		l.setattr(mount, unix.MountAttr{Propagation: unix.MS_SLAVE}, true)
	} else {
		flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
		if m.Recursive {
			flags |= unix.AT_RECURSIVE
		}
		l.host(unix.SYS_OPEN_TREE, m.Source, nsenter.Int(unix.AT_FDCWD), l.str(m.Source), nsenter.Int(flags)).Result(mount)
	}
	set := m.AttrSet
	if m.ReadOnlyLater {
		set &^= unix.MOUNT_ATTR_RDONLY
	}
	l.changeMount(mount, set, &m.Mount)
	kind := aFolder
	switch {
	case m.File:
		kind = aFile
	case m.Destination == "/proc":
		kind = realFolder
	}
	l.move(mount, l.mountPoint(m.Destination, kind))
	l.noteMount(m.Destination, mount, m.Keep, false)
}

// changeMount appends what gives an existing mount the configured attributes and propagation. Attributes that are not named stay as they
// are, so those that the host has locked are no obstacle.
func (l *lowering) changeMount(mount nsenter.Reg, set uint64, m *specconv.Mount) {
	own := unix.MountAttr{Attr_set: set, Attr_clr: m.AttrClear}
	below := unix.MountAttr{Attr_set: m.RecAttrSet, Attr_clr: m.RecAttrClear}
	if m.Propagation&unix.MS_REC != 0 {
		below.Propagation = m.Propagation &^ unix.MS_REC
	} else {
		own.Propagation = m.Propagation
	}
	if own != (unix.MountAttr{}) {
		l.setattr(mount, own, false)
	}
	if below != (unix.MountAttr{}) {
		l.setattr(mount, below, true)
	}
}

// remount changes what is mounted on a destination.
type remount struct {
	specconv.Mount
	Options []string
}

func (m remount) Verb() string      { return "remount" }
func (m remount) String() string    { return "remount " + m.Destination + optionList(m.Options) }
func (remount) Needs() []Descriptor { return nil }
func (remount) phase() phase        { return phaseMounts }
func (remount) descriptors() int    { return 2 }

func (m remount) lower(l *lowering) {
	mount := l.mountPoint(m.Destination, anything)
	parameters := append(m.SuperFlags[:len(m.SuperFlags):len(m.SuperFlags)], m.Data...)
	if m.AttrClear&unix.MOUNT_ATTR_RDONLY != 0 {
		parameters = append(parameters, "rw")
	}
	if !m.Bind && len(parameters) > 0 {
		fs := l.fd()
		l.at(unix.SYS_FSPICK, in(mount), "", nsenter.Int(unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)).Result(fs)
		l.configure(fs, m.Type, parameters)
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_CMD_RECONFIGURE))
	}
	l.changeMount(mount, m.AttrSet, &m.Mount)
}

// readOnlyLater makes a mount read-only in which something had to be made first.
type readOnlyLater struct {
	Destination string
}

func (m readOnlyLater) Verb() string      { return "make" }
func (m readOnlyLater) String() string    { return "make " + m.Destination + " read-only" }
func (readOnlyLater) Needs() []Descriptor { return nil }
func (readOnlyLater) phase() phase        { return phaseInside }

func (m readOnlyLater) lower(l *lowering) {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	for i := len(l.mounted) - 1; i >= 0; i-- {
		if l.mounted[i].destination == m.Destination && l.mounted[i].kept {
			l.setattr(l.mounted[i].fd, attr, false)
			return
		}
	}
	l.setattr(l.destination(m.Destination, anything), attr, false)
}

// maxKept is the number of mounts whose descriptors stay at hand in a register. There are other ways to get at a mount; this one
// saves system calls.
const maxKept = 64

// maxParameter is what fsconfig(2) takes for the value of a parameter.
const maxParameter = 255

// mountSteps appends the mounts, in the configured order.
func (b *builder) mountSteps(bundle *specconv.Bundle) error {
	for i := range bundle.Mounts {
		m := b.mountable(&bundle.Mounts[i])
		field, options := element("mounts", m.Index), bundle.Spec.Mounts[m.Index].Options
		later := m.AttrSet&unix.MOUNT_ATTR_RDONLY != 0 && !m.Remount && (m.Type == "tmpfs" && !m.TmpCopyUp || m.Destination == "/dev")
		switch {
		case m.Remount:
			b.add(field, remount{*m, options})
		case m.Bind:
			file := i < len(b.facts.SourceIsFile) && b.facts.SourceIsFile[i]
			b.add(field, bindMount{*m, options, file, later, b.keep(later), b.passed()})
		case m.Type == "cgroup" || m.Type == "cgroup2":
			b.cgroupMount(field, m, options)
			continue
		default:
			if err := checkParameters(field, m); err != nil {
				return err
			}
			n := mountNew{Mount: *m, Options: options, ReadOnlyLater: later, Keep: b.keep(later || b.refersTo(bundle, m))}
			if mode := b.tmpfsMode(i, m); mode != "" {
				n.Data = append(n.Data[:len(n.Data):len(n.Data)], mode)
			}
			b.add(field, n)
		}
		if later {
			b.readOnly = append(b.readOnly, Step{field, readOnlyLater{m.Destination}})
		}
	}
	return nil
}

// mountable returns the mount, or in place of a file system that shows a namespace which does not belong to the container's user namespace,
// and which the kernel lets it not mount, a bind mount of the host's.
func (b *builder) mountable(m *specconv.Mount) *specconv.Mount {
	shows, source := specs.LinuxNamespaceType(""), ""
	switch m.Type {
	case "proc":
		shows, source = specs.PIDNamespace, "/proc"
	case "sysfs":
		shows, source = specs.NetworkNamespace, "/sys"
	case "mqueue":
		shows, source = specs.IPCNamespace, "/dev/mqueue"
	}
	if source == "" || m.Bind || m.Remount || !b.foreign(shows) {
		return m
	}
	bound := *m
	bound.Bind, bound.Recursive, bound.Source, bound.SuperFlags, bound.Data = true, true, source, nil, nil
	return &bound
}

// foreign reports whether the namespace of this type that the container is in belongs to none of its user namespaces.
func (b *builder) foreign(t specs.LinuxNamespaceType) bool {
	n, ok := b.bundle.Namespace(t)
	flag, _ := specconv.NamespaceFlag(t)
	_, inUser := b.bundle.Namespace(specs.UserNamespace)
	switch {
	case ok && n.Path == "":
		return false
	case !ok && inUser:
		return true
	}
	return b.facts.Foreign&flag != 0
}

// keep reports whether the descriptor of a mount that later steps refer to can be kept, and counts it.
func (b *builder) keep(wanted bool) bool {
	if !wanted || b.kept >= maxKept {
		return false
	}
	b.kept++
	return true
}

// checkParameters finds what fsconfig(2) would refuse without saying why.
func checkParameters(field string, m *specconv.Mount) error {
	if len(m.Source) > maxParameter {
		return fmt.Errorf("%s.source: longer than %d bytes", field, maxParameter)
	}
	for _, d := range m.Data {
		key, value, _ := strings.Cut(d, "=")
		if len(value) > maxParameter || len(key) > maxParameter {
			return fmt.Errorf("%s.options: %.20s: longer than %d bytes", field, d, maxParameter)
		}
		if key == "" && d != "" {
			return fmt.Errorf("%s.options: %q: has no name", field, d)
		}
	}
	return nil
}

// refersTo reports whether later steps use the descriptor of a mount, because they make something in it.
func (b *builder) refersTo(bundle *specconv.Bundle, m *specconv.Mount) bool {
	switch m.Type {
	case "proc":
		// One with parameters may hide what the steps are after (subset=pid), and one that is read-only what they change.
		return m.Destination == "/proc" && len(m.Data) == 0 && len(m.SuperFlags) == 0 &&
			(m.AttrSet|m.RecAttrSet)&unix.MOUNT_ATTR_RDONLY == 0
	case "devpts":
		return m.Destination == "/dev/pts"
	case "tmpfs":
	default:
		return false
	}
	if m.Destination == "/dev" {
		return true
	}
	for j := m.Index + 1; j < len(bundle.Mounts); j++ {
		if path.Dir(bundle.Mounts[j].Destination) == m.Destination {
			return true
		}
	}
	return false
}

// tmpfsMode returns the mode for a tmpfs that is configured without one: that of the folder which it covers.
func (b *builder) tmpfsMode(i int, m *specconv.Mount) string {
	if m.Type != "tmpfs" || i >= len(b.facts.FolderMode) || b.facts.FolderMode[i] == 0 {
		return ""
	}
	for _, d := range m.Data {
		if strings.HasPrefix(d, "mode=") {
			return ""
		}
	}
	return fmt.Sprintf("mode=%o", b.facts.FolderMode[i]&0o7777)
}
