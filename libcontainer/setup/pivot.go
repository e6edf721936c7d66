package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// pivot makes the root filesystem the root of the mount namespace, and detaches the host's.
type pivot struct{}

func (pivot) kind() kind { return kind{phasePivot, "pivot root", "pivot root"} }

func (pivot) lower(l *lowering) {
	old := l.fd()
	l.hostOpen("/", openDir).Result(old)
	l.call(unix.SYS_FCHDIR, l.root)
	dot := l.str(".")
	// The old root is then stacked on the new one, and "." refers to the one on top: see
	// pivot_root(2), "NOTES".
	l.host(unix.SYS_PIVOT_ROOT, ".", dot, dot)
	// The unmount must not propagate to the host. Slaves rather than private mounts, because
	// private ones would hold on to what the host unmounts in the meantime.
	l.setattr(old, unix.MountAttr{Propagation: unix.MS_SLAVE}, true)
	l.host(unix.SYS_UMOUNT2, ".", dot, nsenter.Int(unix.MNT_DETACH))
	l.own(unix.SYS_CHDIR, "/", l.str("/"))
}

// moveRoot is for a host whose root cannot be pivoted: an initial ramdisk. The host's mounts stay
// underneath.
type moveRoot struct {
	// Unmount are the host's own procfs and sysfs. If a process can see complete ones, the kernel
	// lets it mount new ones, which would bypass the masks in the container.
	Unmount []string
}

func (moveRoot) kind() kind {
	return kind{phasePivot, "move root", "move the root filesystem to / (no pivot)"}
}

func (m moveRoot) lower(l *lowering) {
	for _, p := range m.Unmount {
		// The unmount must not propagate to the host. EINVAL means that nothing is mounted there.
		l.hostPropagation(p, unix.MS_SLAVE, unix.AT_RECURSIVE).Ignore(unix.EINVAL, unix.ENOENT)
		l.host(unix.SYS_UMOUNT2, p, l.str(p), nsenter.Int(unix.MNT_DETACH)).Ignore(unix.EINVAL, unix.ENOENT)
	}
	l.call(unix.SYS_FCHDIR, l.root)
	l.host(unix.SYS_MOVE_MOUNT, "/", l.root, l.str(""), nsenter.Int(unix.AT_FDCWD), l.str("/"), nsenter.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	l.own(unix.SYS_CHROOT, ".", l.str("."))
	l.own(unix.SYS_CHDIR, "/", l.str("/"))
}

// changeRoot is for a container without a mount namespace.
type changeRoot struct{}

func (changeRoot) kind() kind { return kind{phasePivot, "change root", "change root"} }

func (changeRoot) lower(l *lowering) {
	l.call(unix.SYS_FCHDIR, l.root)
	l.own(unix.SYS_CHROOT, ".", l.str("."))
	l.own(unix.SYS_CHDIR, "/", l.str("/"))
}
