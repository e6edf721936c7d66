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

func (setPropagation) kind() kind       { return kind{phaseRoot, "make", ""} }
func (s setPropagation) String() string { return "make / " + s.Mode }

func (s setPropagation) lower(l *lowering) {
	flags := 0
	if s.Flags&unix.MS_REC != 0 {
		flags = unix.AT_RECURSIVE
	}
	l.hostPropagation("/", s.Flags&^unix.MS_REC, flags)
}

// makePrivate makes one mount private: the one that contains the root when mounts are shared with
// the host. pivot_root requires it, and the container's mounts would otherwise show on the host.
type makePrivate struct{ Path string }

func (makePrivate) kind() kind       { return kind{phaseRoot, "make", ""} }
func (m makePrivate) String() string { return "make " + m.Path + " private" }

func (m makePrivate) lower(l *lowering) {
	l.hostPropagation(m.Path, unix.MS_PRIVATE, 0)
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

func (bindRoot) kind() kind       { return kind{phaseRoot, "bind", ""} }
func (b bindRoot) String() string { return "bind the root filesystem " + b.Path }

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
	l.hostOpen(path, openDir).Result(under)
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

func (enterRootfs) kind() kind       { return kind{phaseJoin, "enter", ""} }
func (e enterRootfs) String() string { return "enter the root filesystem " + e.Path }

func (e enterRootfs) lower(l *lowering) {
	dir := l.fd()
	l.hostOpen(e.Path, openDir).Result(dir)
	l.call(unix.SYS_FCHDIR, dir)
}

// openRoot opens the root filesystem of a container without a mount namespace of its own.
type openRoot struct{ Path string }

func (openRoot) kind() kind       { return kind{phaseRoot, "open", ""} }
func (o openRoot) String() string { return "open the root filesystem " + o.Path }

func (o openRoot) lower(l *lowering) {
	l.root, l.hasRoot = l.keep(), true
	l.hostOpen(o.Path, openDir).Result(l.root)
}

// openOwnRoot opens the root of a process that has joined a container.
type openOwnRoot struct{}

func (openOwnRoot) kind() kind { return kind{phaseRoot, "open", "open the container's root"} }

func (openOwnRoot) lower(l *lowering) {
	l.root, l.hasRoot = l.keep(), true
	l.ownOpen("/", openDir).Result(l.root)
}

// enterRoot changes a process's root to that of the container without a mount namespace that it
// joins.
type enterRoot struct{}

func (enterRoot) kind() kind          { return kind{phaseJoin, "enter", "enter the container's root"} }
func (enterRoot) Needs() []Descriptor { return []Descriptor{{Name: RootOfContainer, OPath: true}} }

func (enterRoot) lower(l *lowering) {
	l.call(unix.SYS_FCHDIR, RootOfContainer)
	l.own(unix.SYS_CHROOT, ".", l.str("."))
}

// makeCwd makes the working directory if it is missing.
type makeCwd struct{ Path string }

func (makeCwd) kind() kind          { return kind{phaseMounts, "make", ""} }
func (m makeCwd) String() string    { return "make the directory " + m.Path + " if it is missing" }
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

func (finalPropagation) kind() kind       { return kind{phaseInside, "make", ""} }
func (f finalPropagation) String() string { return "make the container's / " + f.Mode }

func (f finalPropagation) lower(l *lowering) {
	l.setattr(l.root, unix.MountAttr{Propagation: f.Flags &^ unix.MS_REC}, f.Flags&unix.MS_REC != 0)
}

// rootReadOnly makes the root's own mount read-only, but not its submounts. Without a mount
// namespace that mount is the copy that the runtime has put on the host's.
type rootReadOnly struct{}

func (rootReadOnly) kind() kind { return kind{phaseInside, "make", "make the container's / read-only"} }

func (rootReadOnly) lower(l *lowering) {
	l.setattr(l.root, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
}
