package setup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// mountNew mounts a new filesystem.
type mountNew struct {
	specconv.Mount
	Options []string // as configured, for messages
	// ReadOnlyLater is set when later steps still create files in a mount that becomes read-only.
	ReadOnlyLater bool
	// Keep is set when later steps refer to the mount.
	Keep bool
}

func (mountNew) kind() kind { return kind{phaseMounts, "mount", ""} }

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
	mount := l.mountFD(m.Keep || m.Destination == "/")
	kind := aDirectory
	if m.Type == "proc" || m.Type == "sysfs" {
		kind = realDirectory // CVE-2019-19921, CVE-2023-27561
	}
	if m.TmpCopyUp {
		m.copyUp(l, mount)
		return
	}
	to, opened := nsenter.Reg(0), m.isLong()
	if opened {
		to = l.mountPoint(m.Destination, kind)
	}
	if early, ok := l.earlyMount(m.Index); ok {
		l.prog.Set(mount, early)
	} else {
		m.make(l, mount, to, m.attributes())
	}
	l.mapIDs(mount, &m.Mount)
	m.propagate(l, mount)
	if !opened {
		to = l.mountPoint(m.Destination, kind)
	}
	l.move(mount, to)
	m.remember(l, mount)
}

func (m mountNew) isLong() bool { return isLong(m.Source, m.parameters()) }

// make emits the creation of the filesystem and of a detached mount of it. A mount with long
// parameters also needs its destination, to.
func (m mountNew) make(l *lowering, mount, to nsenter.Reg, attributes uint64) {
	if m.isLong() {
		l.longMount(mount, to, m.Type, m.Source, m.parameters(), attributes)
		return
	}
	l.newMount(mount, m.Type, m.Source, m.parameters(), attributes)
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

// noteMount remembers a mount. One on the root replaces the root.
func (l *lowering) noteMount(destination string, mount nsenter.Reg, kept, fresh bool) {
	if destination == "/" {
		l.root = mount
	}
	l.mounted = append(l.mounted, mounted{destination: destination, fd: mount, kept: kept, fresh: fresh})
}

// copyUp mounts a tmpfs that has a copy of the directory that it covers. The runtime does the
// copying, because the image's files may be of any kind and number.
func (m mountNew) copyUp(l *lowering, mount nsenter.Reg) {
	to, from := l.mountPoint(m.Destination, aDirectory), l.fd()
	l.open(from, to, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, inRoot)
	attributes := m.attributes()
	m.make(l, mount, to, attributes&^unix.MOUNT_ATTR_RDONLY)
	l.sendFile(MessageCopyFrom, from, nil)
	l.sendFile(MessageCopyTo, mount, nsenter.Int(l.step))
	l.await()
	if attributes&unix.MOUNT_ATTR_RDONLY != 0 {
		l.setattr(mount, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
	}
	m.propagate(l, mount)
	l.move(mount, to)
	m.remember(l, mount)
}

// CopiedUp returns the mount of a [MessageCopyTo], and its field. step is the message's value.
func (p *Plan) CopiedUp(step uint32) (field string, mount specconv.Mount) {
	if int(step) < len(p.Steps) {
		if m, ok := p.Steps[step].Action.(mountNew); ok {
			return p.Steps[step].Field, m.Mount
		}
	}
	return "mounts", specconv.Mount{} // not a step of the plan: the process is faulty
}

// propagate emits the setting of the mount's propagation, if it is configured.
func (m mountNew) propagate(l *lowering, mount nsenter.Reg) {
	if m.Propagation != 0 {
		l.setattr(mount, unix.MountAttr{Propagation: m.Propagation &^ unix.MS_REC}, false)
	}
}

// attributes returns the attributes that the mount is made with. It has no submounts, so the
// recursive attributes apply to itself.
func (m mountNew) attributes() uint64 {
	set := m.AttrSet&^m.RecAttrClear | m.RecAttrSet
	if m.ReadOnlyLater {
		set &^= unix.MOUNT_ATTR_RDONLY
	}
	return set
}

// parameters returns the parameters of the filesystem. It drops "ro" when files are still to be
// created in it.
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

// newMount emits the creation of a detached mount of a new filesystem.
func (l *lowering) newMount(mount nsenter.Reg, fstype, source string, parameters []string, attributes uint64) {
	fs := l.fd()
	l.call(unix.SYS_FSOPEN, l.str(fstype), nsenter.Int(unix.FSOPEN_CLOEXEC)).Result(fs)
	if source != "" {
		l.setString(fs, "source", source)
	}
	if fstype == "proc" && l.pidns != "" {
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_SET_FD), l.str("pidns"), nsenter.Int(0), l.pidns)
	}
	l.configure(fs, fstype, parameters)
	l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_CMD_CREATE))
	l.call(unix.SYS_FSMOUNT, fs, nsenter.Int(unix.FSMOUNT_CLOEXEC), nsenter.Int(attributes)).Result(mount)
}

// configure emits the setting of a filesystem's parameters: "mode=755" or "ro".
func (l *lowering) configure(fs nsenter.Reg, fstype string, parameters []string) {
	for _, p := range parameters {
		if key, label, ok := securityLabel(p); ok {
			l.setString(fs, key, label)
			l.noteOption(p)
			continue
		}
		// mount(2) has one string with commas between the parameters, so one entry may contain
		// several. A comma in overlay's paths may be part of the path.
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

// securityLabel reports whether a parameter is SELinux's, which every filesystem has. Its value may
// contain commas, and is often quoted: only mount(2) removes the quotes.
func securityLabel(parameter string) (key, label string, ok bool) {
	key, value, _ := strings.Cut(parameter, "=")
	switch key {
	case "context", "fscontext", "defcontext", "rootcontext":
		return key, strings.Trim(value, `"`), true
	}
	return "", "", false
}

func (l *lowering) parameter(fs nsenter.Reg, p string) {
	if key, value, ok := strings.Cut(p, "="); ok {
		l.setString(fs, key, value)
	} else {
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_SET_FLAG), l.str(key))
	}
	l.noteOption(p)
}

// noteOption remembers the parameter that the last operation sets, for its error.
func (l *lowering) noteOption(p string) {
	l.options = append(l.options, fsOption{l.prog.Len() - 1, p})
}

func (l *lowering) setString(fs nsenter.Reg, key, value string) {
	l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_SET_STRING), l.str(key), l.str(value), nsenter.Int(0))
}

// maxKept is the number of mounts whose descriptors stay in a register. There are other ways to
// refer to a mount; this one saves system calls.
const maxKept = 64

// mountSteps appends the mounts, in the configured order.
func (b *builder) mountSteps(bundle *specconv.Bundle, o Options) error {
	deferred := len(o.DeferredCgroups) > 0
	for i := range bundle.Mounts {
		m := b.withMap(b.mountable(&bundle.Mounts[i]))
		if deferred && dependsOnCgroup(m) {
			b.add("", joinDeferred{o.DeferredCgroups, o.MemoryPath})
			deferred = false
		}
		field, options := jsonpath.Index("mounts", m.Index), bundle.Spec.Mounts[m.Index].Options
		if !m.Bind {
			if split := splitLayers(m); len(split) != len(m.Data) {
				with := *m
				with.Data, m = split, &with
			}
			if err := checkParameters(field, m, b.early(m)); err != nil {
				return err
			}
		}
		later := m.AttrSet&unix.MOUNT_ATTR_RDONLY != 0 && !m.Remount && (m.Type == "tmpfs" && !m.TmpCopyUp || m.Destination == "/dev")
		switch {
		case m.Remount:
			b.add(field, remount{*m, options, b.passed()})
		case at(b.facts.SourceLink, i) != "":
			b.add(field, copyLink{m.Destination, b.facts.SourceLink[i]})
			continue
		case m.Bind:
			inRoot := at(b.facts.SourceInRoot, i)
			b.add(field, bindMount{*m, options, at(b.facts.SourceIsFile, i), inRoot, later, b.keep(later), b.passed() && inRoot == ""})
		case m.Type == "cgroup" || m.Type == "cgroup2":
			b.cgroupMount(field, m, options)
			continue
		default:
			n := mountNew{Mount: *m, Options: options, ReadOnlyLater: later, Keep: b.keep(later || b.refersTo(bundle, m))}
			n.Data = append(n.Data[:len(n.Data):len(n.Data)], b.mountLabel(m)...)
			if mode := b.tmpfsMode(i, m); mode != "" {
				n.Data = append(n.Data[:len(n.Data):len(n.Data)], mode)
			}
			b.add(field, n)
		}
		if later {
			b.readOnly = append(b.readOnly, Step{field, readOnlyLater{m.Destination}})
		}
	}
	if deferred {
		b.add("", joinDeferred{o.DeferredCgroups, o.MemoryPath})
	}
	return nil
}

// at returns what a list of [Facts] has for mount i, the zero value where the list is shorter.
func at[T any](list []T, i int) (fact T) {
	if i < len(list) {
		fact = list[i]
	}
	return fact
}

// dependsOnCgroup reports whether a mount depends on the cgroup of the process: it shows cgroups,
// or may open a device, which the cgroup can forbid.
func dependsOnCgroup(m *specconv.Mount) bool {
	if m.Bind || m.Remount {
		return false
	}
	switch m.Type {
	case "proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue":
		return false
	}
	return true
}

// shows returns the type of the namespace that a filesystem shows, and where the host has it
// mounted.
func shows(fstype string) (namespace specs.LinuxNamespaceType, host string) {
	switch fstype {
	case "proc":
		return specs.PIDNamespace, "/proc"
	case "sysfs":
		return specs.NetworkNamespace, "/sys"
	case "mqueue":
		return specs.IPCNamespace, "/dev/mqueue"
	}
	return "", ""
}

// mountable returns the mount, or a bind mount of the host's filesystem in place of one that the
// kernel refuses to mount: one that shows a namespace which does not belong to the container's user
// namespace. See also earlySteps.
func (b *builder) mountable(m *specconv.Mount) *specconv.Mount {
	namespace, host := shows(m.Type)
	if host == "" || m.Bind || m.Remount || b.passed() || !b.foreign(namespace) {
		return m
	}
	bound := *m
	bound.Bind, bound.Recursive, bound.Exact, bound.Source, bound.SuperFlags, bound.Data = true, true, false, host, nil, nil
	return &bound
}

// early reports whether a mount must be made before a user namespace is joined.
func (b *builder) early(m *specconv.Mount) bool {
	namespace, host := shows(m.Type)
	return host != "" && !m.Bind && !m.Remount && b.passed() && b.foreign(namespace)
}

// earlySteps makes filesystems that show namespaces of the host.
func (b *builder) earlySteps(bundle *specconv.Bundle) {
	for i := range bundle.Mounts {
		if m := &bundle.Mounts[i]; b.early(m) {
			b.add(jsonpath.Index("mounts", m.Index), mountEarly{mountNew{Mount: *m, Options: bundle.Spec.Mounts[m.Index].Options}})
		}
	}
}

// mountEarly makes a filesystem's mount, which is attached later.
type mountEarly struct{ Mount mountNew }

func (mountEarly) kind() kind { return kind{phaseJoin, "make", ""} }
func (m mountEarly) String() string {
	return "make the " + m.Mount.Type + " for " + m.Mount.Destination
}

func (m mountEarly) lower(l *lowering) {
	mount := l.keep()
	n := &m.Mount
	l.newMount(mount, n.Type, n.Source, n.parameters(), n.attributes())
	l.early = append(l.early, earlyMount{n.Index, mount})
}

// foreign reports whether the container's namespace of this type does not belong to its user
// namespace.
func (b *builder) foreign(t specs.LinuxNamespaceType) bool {
	n, ok := b.bundle.Namespace(t)
	flag, _ := specconv.NamespaceFlag(t)
	switch {
	case ok && n.Path == "":
		return false
	case !ok && b.inUser:
		return true
	}
	return b.facts.Foreign&flag != 0
}

// keep reports whether the descriptor of a mount that later steps refer to can be kept, and counts
// it.
func (b *builder) keep(wanted bool) bool {
	if !wanted || b.kept >= maxKept {
		return false
	}
	b.kept++
	return true
}

// refersTo reports whether later steps use the descriptor of a mount, because they create or write
// files in it.
func (b *builder) refersTo(bundle *specconv.Bundle, m *specconv.Mount) bool {
	switch m.Type {
	case "proc":
		// One with parameters may hide files that the steps need (subset=pid), and a read-only one
		// does not let them be changed.
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

// tmpfsMode returns the mode for a tmpfs that is configured without one: that of the directory it
// covers.
func (b *builder) tmpfsMode(i int, m *specconv.Mount) string {
	mode := at(b.facts.DirectoryMode, i)
	if m.Type != "tmpfs" || mode == 0 || slices.ContainsFunc(m.Data, func(d string) bool { return strings.HasPrefix(d, "mode=") }) {
		return ""
	}
	return fmt.Sprintf("mode=%o", mode&0o7777)
}
