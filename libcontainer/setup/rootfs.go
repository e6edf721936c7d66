package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// setPropagation sets the propagation of all mounts of the new mount namespace, which are copies of
// the host's.
type setPropagation struct {
	Flags uint64
	Mode  string
}

func (s setPropagation) Verb() string      { return "make" }
func (s setPropagation) String() string    { return "make / " + s.Mode }
func (setPropagation) Needs() []Descriptor { return nil }
func (setPropagation) phase() phase        { return phaseRoot }

func (s setPropagation) lower(l *lowering) {
	flags := 0
	if s.Flags&unix.MS_REC != 0 {
		flags = unix.AT_RECURSIVE
	}
	attr := l.prog.Words(0, 0, s.Flags&^unix.MS_REC, 0)
	l.host(unix.SYS_MOUNT_SETATTR, "/", nsenter.Int(unix.AT_FDCWD), l.str("/"), nsenter.Int(flags), attr,
		nsenter.Int(unix.MOUNT_ATTR_SIZE_VER0))
}

// makePrivate makes one mount private: the one that contains the root when mounts are shared with
// the host. pivot_root requires it, and the container's mounts would otherwise show on the host.
type makePrivate struct{ Path string }

func (m makePrivate) Verb() string      { return "make" }
func (m makePrivate) String() string    { return "make " + m.Path + " private" }
func (makePrivate) Needs() []Descriptor { return nil }
func (makePrivate) phase() phase        { return phaseRoot }

func (m makePrivate) lower(l *lowering) {
	attr := l.prog.Words(0, 0, unix.MS_PRIVATE, 0)
	l.host(unix.SYS_MOUNT_SETATTR, m.Path, nsenter.Int(unix.AT_FDCWD), l.str(m.Path), nsenter.Int(0), attr,
		nsenter.Int(unix.MOUNT_ATTR_SIZE_VER0))
}

// bindRoot puts a copy of the root filesystem's mounts on top of them, so that it is a mount point,
// and keeps its descriptor. From here on every path of the container is looked up from that
// descriptor.
type bindRoot struct {
	Path string
	// Keeps says which of the copied mounts receive later mounts of the host.
	Keeps keeps
	// Passed is set when the runtime passes the copy. The process has then entered the directory
	// before joining a user namespace, in which it may not be able to reach it: see enterRootfs.
	Passed bool
}

// keeps says which mounts of the root filesystem stay slaves of the host's.
type keeps uint8

const (
	keepsNone keeps = iota
	keepsBelow
	keepsAll
)

// RootTree is the detached copy of the root filesystem's mounts.
const RootTree nsenter.FD = "root filesystem"

func (b bindRoot) Verb() string   { return "bind" }
func (b bindRoot) String() string { return "bind the root filesystem " + b.Path }
func (bindRoot) phase() phase     { return phaseRoot }

func (b bindRoot) Needs() []Descriptor {
	if !b.Passed {
		return nil
	}
	return []Descriptor{{Name: RootTree, Path: b.Path, Tree: true, Recursive: true}}
}

func (b bindRoot) lower(l *lowering) {
	l.root, l.hasRoot = l.keep(), true
	under, path := l.fd(), b.Path
	if b.Passed {
		path = "."
	}
	l.host(unix.SYS_OPENAT, path, nsenter.Int(unix.AT_FDCWD), l.str(path),
		nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), nsenter.Int(0)).Result(under)
	if b.Passed {
		l.prog.Set(l.root, RootTree)
	} else {
		l.clone(under, true).Result(l.root)
	}
	// The copy must not propagate to the host either. Mounts that are already slaves stay so.
	if b.Keeps != keepsNone {
		l.setattr(l.root, unix.MountAttr{Propagation: unix.MS_SLAVE}, true)
	}
	if b.Keeps != keepsAll {
		l.setattr(l.root, unix.MountAttr{Propagation: unix.MS_PRIVATE}, b.Keeps == keepsNone)
	}
	l.move(l.root, under)
}

// enterRootfs makes the root filesystem the working directory while the process has the runtime's
// privileges. A new mount namespace does not change a process's working directory.
type enterRootfs struct{ Path string }

func (enterRootfs) Verb() string        { return "enter" }
func (e enterRootfs) String() string    { return "enter the root filesystem " + e.Path }
func (enterRootfs) Needs() []Descriptor { return nil }
func (enterRootfs) phase() phase        { return phaseJoin }

func (e enterRootfs) lower(l *lowering) {
	dir := l.fd()
	l.host(unix.SYS_OPENAT, e.Path, nsenter.Int(unix.AT_FDCWD), l.str(e.Path),
		nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), nsenter.Int(0)).Result(dir)
	l.call(unix.SYS_FCHDIR, dir)
}

// openRoot opens the root filesystem of a container without a mount namespace of its own.
type openRoot struct{ Path string }

func (o openRoot) Verb() string      { return "open" }
func (o openRoot) String() string    { return "open the root filesystem " + o.Path }
func (openRoot) Needs() []Descriptor { return nil }
func (openRoot) phase() phase        { return phaseRoot }

func (o openRoot) lower(l *lowering) {
	l.root, l.hasRoot = l.keep(), true
	l.host(unix.SYS_OPENAT, o.Path, nsenter.Int(unix.AT_FDCWD), l.str(o.Path),
		nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), nsenter.Int(0)).Result(l.root)
}

// openOwnRoot opens the root of a process that has joined a container.
type openOwnRoot struct{}

func (openOwnRoot) Verb() string        { return "open" }
func (openOwnRoot) String() string      { return "open the container's root" }
func (openOwnRoot) Needs() []Descriptor { return nil }
func (openOwnRoot) phase() phase        { return phaseRoot }

func (openOwnRoot) lower(l *lowering) {
	l.root, l.hasRoot = l.keep(), true
	l.own(unix.SYS_OPENAT, "/", nsenter.Int(unix.AT_FDCWD), l.str("/"),
		nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), nsenter.Int(0)).Result(l.root)
}

// enterRoot changes a process's root to that of the container without a mount namespace that it
// joins.
type enterRoot struct{}

func (enterRoot) Verb() string        { return "enter" }
func (enterRoot) String() string      { return "enter the container's root" }
func (enterRoot) Needs() []Descriptor { return []Descriptor{{Name: RootOfContainer, OPath: true}} }
func (enterRoot) phase() phase        { return phaseJoin }

func (enterRoot) lower(l *lowering) {
	l.call(unix.SYS_FCHDIR, RootOfContainer)
	l.own(unix.SYS_CHROOT, ".", l.str("."))
}

// makeCwd makes the working directory if it is missing.
type makeCwd struct{ Path string }

func (m makeCwd) Verb() string      { return "make" }
func (m makeCwd) String() string    { return "make the directory " + m.Path + " if it is missing" }
func (makeCwd) Needs() []Descriptor { return nil }
func (makeCwd) phase() phase        { return phaseMounts }
func (m makeCwd) lower(l *lowering) { l.destination(m.Path, aDirectory) }

// rootPropagation returns the propagation of the new namespace's mounts, which mounts of the root
// filesystem stay slaves, and the root's final propagation, 0 for no further change.
//
// "shared" must leave the host's mounts as they are, so that a volume can propagate the container's
// mounts (Kubernetes: Bidirectional). Everything else makes the whole tree slaves: changing only
// the single mount that "slave" or "private" names would leave its submounts shared with the host.
// Without a setting the root itself receives no mounts of the host, as in runc and crun.
func rootPropagation(flags uint64) (host setPropagation, root keeps, final uint64) {
	slave := setPropagation{unix.MS_SLAVE | unix.MS_REC, "rslave"}
	switch flags &^ unix.MS_REC {
	case unix.MS_SHARED:
		return setPropagation{flags, "shared, as the host has it"}, keepsNone, flags
	case unix.MS_PRIVATE:
		return slave, keepsNone, 0
	case unix.MS_UNBINDABLE:
		return slave, keepsNone, flags
	case unix.MS_SLAVE:
		return slave, keepsAll, 0
	}
	return slave, keepsBelow, 0
}

// finalPropagation sets the configured propagation of the root, which is only possible once it is
// the root.
type finalPropagation struct {
	Flags uint64
	Mode  string
}

func (f finalPropagation) Verb() string      { return "make" }
func (f finalPropagation) String() string    { return "make the container's / " + f.Mode }
func (finalPropagation) Needs() []Descriptor { return nil }
func (finalPropagation) phase() phase        { return phaseInside }

func (f finalPropagation) lower(l *lowering) {
	l.setattr(l.root, unix.MountAttr{Propagation: f.Flags &^ unix.MS_REC}, f.Flags&unix.MS_REC != 0)
}

// rootReadOnly makes the root's own mount read-only, but not its submounts. Without a mount
// namespace that mount is the copy that the runtime has put on the host's.
type rootReadOnly struct{}

func (rootReadOnly) Verb() string        { return "make" }
func (rootReadOnly) String() string      { return "make the container's / read-only" }
func (rootReadOnly) Needs() []Descriptor { return nil }
func (rootReadOnly) phase() phase        { return phaseInside }

func (rootReadOnly) lower(l *lowering) {
	l.setattr(l.root, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
}
