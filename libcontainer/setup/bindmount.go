package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// bindMount shows a file or directory of the host in the container.
type bindMount struct {
	specconv.Mount
	Options []string
	File    bool // the source is not a directory
	// InRoot is the source's path in the container's root if an earlier mount provides it, "" for a
	// source on the host.
	InRoot        string
	ReadOnlyLater bool
	Keep          bool // later steps refer to the mount
	Passed        bool // the runtime passes the copy: see builder.passed
}

func (bindMount) kind() kind { return kind{phaseMounts, "bind", ""} }

func (m bindMount) tree() nsenter.FD {
	return nsenter.FD("source of " + jsonpath.Index("mounts", m.Index))
}

func (m bindMount) Needs() []Descriptor {
	if !m.Passed {
		return nil
	}
	return []Descriptor{{Name: m.tree(), Path: m.Source, Tree: true, Recursive: m.Recursive, NoFollow: m.SourceNoFollow, Part: "source"}}
}

func (m bindMount) String() string {
	return "bind " + m.Source + " on " + m.Destination + optionList(m.Options)
}

func (m bindMount) lower(l *lowering) {
	mount := l.mountFD(m.Keep || m.Destination == "/")
	m.copy(l, mount)
	set := m.AttrSet
	if m.ReadOnlyLater {
		set &^= unix.MOUNT_ATTR_RDONLY
	}
	l.mapIDs(mount, &m.Mount)
	if m.Exact {
		l.changeExactly(mount, set, &m.Mount, m.Passed)
	} else {
		l.changeMount(mount, set, &m.Mount)
	}
	switch {
	case m.InRoot != "": // only now is it known whether the source is a directory
		file, done := l.prog.NewLabel(), l.prog.NewLabel()
		l.openat2(mount, ".", unix.O_PATH|unix.O_DIRECTORY, 0, inRoot).OnError(file, unix.ENOTDIR)
		m.attach(l, mount, false)
		l.prog.Jump(done)
		l.prog.Place(file)
		m.attach(l, mount, true)
		l.prog.Place(done)
	default:
		m.attach(l, mount, m.File)
	}
	l.noteMount(m.Destination, mount, m.Keep, false)
}

// attach emits the attachment of the copy.
func (m bindMount) attach(l *lowering, mount nsenter.Reg, file bool) {
	switch {
	case file:
		l.moveFile(mount, m.point(l, aFile))
	case m.Destination == "/proc":
		l.move(mount, l.mountPoint(m.Destination, realDirectory))
	default:
		l.move(mount, m.point(l, aDirectory))
	}
}

// point emits the opening of the destination.
func (m bindMount) point(l *lowering, kind destinationKind) nsenter.Reg {
	if m.DestinationNoFollow {
		return l.linkPoint(m.Destination, kind)
	}
	return l.mountPoint(m.Destination, kind)
}

// moveFile emits the attachment of a file's mount. For a directory as destination, move_mount(2)
// returns EINVAL, which has several meanings. mount(2) returns ENOTDIR, whose text engines look
// for, so the error becomes ENOTDIR.
func (l *lowering) moveFile(mount, on nsenter.Reg) {
	refused, other, done := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	l.move(mount, on).OnError(refused, unix.EINVAL)
	l.prog.Jump(done)
	l.prog.Place(refused)
	l.openat2(on, ".", unix.O_PATH|unix.O_DIRECTORY, 0, inRoot).OnError(other)
	l.prog.Fail(unix.ENOTDIR)
	l.prog.Place(other)
	l.move(mount, on)
	l.prog.Place(done)
}

// shareStep mounts the runtime's directory. It comes after all other mounts because one of them may
// contain the destination.
func (b *builder) shareStep(s *Share) {
	if s == nil {
		return
	}
	b.env = append(b.env, s.Variable)
	m := specconv.Mount{Index: len(b.bundle.Mounts), Destination: s.Destination, Type: "bind", Source: s.Source, Bind: true,
		AttrSet: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	b.add("", bindMount{Mount: m, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}, Passed: b.passed()})
}

// copy emits the copying of the source's mounts.
func (m bindMount) copy(l *lowering, mount nsenter.Reg) {
	switch {
	case m.InRoot != "":
		source := l.fd()
		l.openSource(source, m.InRoot, m.SourceNoFollow)
		l.clone(source, m.Recursive).Result(mount)
	case m.Passed:
		l.prog.Set(mount, m.tree())
		// The copy's peer group is in the runtime's namespace, where the container's mounts must
		// not show up.
		l.setattr(mount, unix.MountAttr{Propagation: unix.MS_SLAVE}, true)
	default:
		flags := 0
		if m.Recursive {
			flags |= unix.AT_RECURSIVE
		}
		if m.SourceNoFollow {
			flags |= unix.AT_SYMLINK_NOFOLLOW
		}
		l.hostTree(m.Source, flags).Result(mount)
	}
}

// changeExactly is changeMount that also clears attributes which the options do not name. The
// kernel does not allow that for attributes of mounts that were made with more privileges: it locks
// them. A copy that the runtime passed to a less privileged process is not locked, and keeps its
// source's attributes.
func (l *lowering) changeExactly(mount nsenter.Reg, set uint64, m *specconv.Mount, passed bool) {
	const atime, clearable = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME, unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID |
		unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	named := unix.MountAttr{Attr_set: set, Attr_clr: clearable &^ set}
	if passed {
		named.Attr_clr &= m.AttrClear
	}
	if m.AtimeNamed {
		named.Attr_clr |= atime &^ (set & unix.MOUNT_ATTR_NODIRATIME)
	} else {
		named.Attr_set &^= atime
	}
	locked, old, done := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	// Before Linux 5.14 the kernel does not know nosymfollow and returns EINVAL. EINVAL also means
	// that nothing is mounted there, and the second attempt reports that.
	l.setattr(mount, named, false).OnError(old, unix.EPERM, unix.EINVAL)
	l.prog.Jump(done)
	l.prog.Place(old)
	named.Attr_clr &^= unix.MOUNT_ATTR_NOSYMFOLLOW
	l.setattr(mount, named, false).OnError(locked, unix.EPERM)
	l.prog.Jump(done)
	l.prog.Place(locked)
	if own := (unix.MountAttr{Attr_set: set, Attr_clr: m.AttrClear}); own != (unix.MountAttr{}) {
		l.setattr(mount, own, false)
	}
	l.prog.Place(done)
	rest := *m
	rest.AttrClear = 0
	l.changeMount(mount, 0, &rest)
}

// changeMount emits the setting of the configured attributes and propagation of an existing mount.
// It leaves other attributes alone, so those that the host has locked do no harm.
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

// remount changes the mount at a destination.
type remount struct {
	specconv.Mount
	Options []string
	Passed  bool // the runtime passed the copy that is bound there
}

func (remount) kind() kind       { return kind{phaseMounts, "remount", ""} }
func (m remount) String() string { return "remount " + m.Destination + optionList(m.Options) }

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
	l.changeExactly(mount, m.AttrSet, &m.Mount, m.Passed)
}

// readOnlyLater makes a mount read-only after earlier steps have created files in it.
type readOnlyLater struct {
	Destination string
}

func (readOnlyLater) kind() kind       { return kind{phaseInside, "make", ""} }
func (m readOnlyLater) String() string { return "make " + m.Destination + " read-only" }

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
