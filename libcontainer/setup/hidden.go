package setup

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// readOnlyPath makes a file, or a directory and everything below it, read-only. A missing path
// needs no step.
type readOnlyPath struct{ Path string }

func (readOnlyPath) kind() kind       { return kind{phaseHide, "make", ""} }
func (r readOnlyPath) String() string { return "make " + r.Path + " read-only" }

func (r readOnlyPath) lower(l *lowering) {
	if r.Path == "/" && l.hasRoot {
		// Mounts on top of the root are never reached through it, so the root's own mount becomes
		// read-only, as with root.readonly.
		l.setattr(l.root, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
		return
	}
	missing := l.prog.NewLabel()
	on, mount := l.fd(), l.fd()
	l.openIfThere(on, r.Path, missing)
	l.clone(on, true).Result(mount)
	l.setattr(mount, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, true)
	l.move(mount, on)
	l.prog.Place(missing)
}

// openIfThere emits the opening of a path of the container, with a jump to the label if it is
// missing. A hostile neighbour that keeps moving directories of a volume can make the container
// fail, but cannot prevent the masking.
func (l *lowering) openIfThere(to nsenter.Reg, path string, missing nsenter.Label) {
	last, opened := l.tryOpen(to, path, unix.O_PATH)
	last.OnError(missing, unix.ENOENT, unix.ENOTDIR)
	l.prog.Place(opened)
}

// prepareMasks makes the one empty read-only directory that all masked directories show, and finds
// the file that all masked files show.
type prepareMasks struct{}

func (prepareMasks) kind() kind {
	return kind{phaseHide, "prepare", "prepare an empty directory for masks"}
}

func (prepareMasks) lower(l *lowering) {
	l.empty, l.first = l.keep(), l.keep()
	if !l.hasNull {
		// The host's, because the container's might be anything (CVE-2025-31133). It is shown
		// read-only so that its mode and owner cannot be changed from inside.
		l.null = l.keep()
		l.hostOpen("/dev/null", unix.O_PATH).Result(l.null)
	}
	const attributes = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	l.newMount(l.empty, "tmpfs", "tmpfs", []string{"mode=755", "nr_blocks=1", "nr_inodes=1"}, attributes)
	l.prog.Set(l.first, noFD)
	l.hasMask = true
}

// maskPath covers a file with a null device, or a directory with an empty one. A missing path needs
// no mask.
type maskPath struct{ Path string }

func (maskPath) kind() kind       { return kind{phaseHide, "mask", ""} }
func (m maskPath) String() string { return "mask " + m.Path }

func (m maskPath) lower(l *lowering) {
	done, file, first := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	on, mount := l.fd(), l.fd()
	l.openIfThere(on, m.Path, done)
	// Only directories contain ".".
	l.openat2(on, ".", unix.O_PATH|unix.O_DIRECTORY, 0, inRoot|unix.RESOLVE_NO_XDEV).Result(l.fd()).OnError(file, unix.ENOTDIR)

	// The first masked directory gets the tmpfs itself and the others get copies of that mount,
	// because kernels before 6.15 cannot copy a mount that is not attached.
	l.clone(l.first, false).Result(mount).OnError(first, unix.EBADF)
	l.move(mount, on)
	l.prog.Jump(done)
	l.prog.Place(first)
	l.move(l.empty, on)
	l.prog.Set(l.first, l.empty)
	l.prog.Jump(done)

	l.prog.Place(file)
	l.clone(l.null, false).Result(mount)
	if !l.hasNull {
		l.setattr(mount, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, false)
	}
	l.move(mount, on)
	l.prog.Place(done)
}

// hiddenSteps appends one step for each path of linux.readonlyPaths and linux.maskedPaths, however
// often it is listed. Links of the image may lead these paths anywhere in the root, also into the
// procfs. That is harmless: the steps only take away access, and the plan opens files of a procfs
// without crossing mounts, so no mask affects it.
func (b *builder) hiddenSteps(readOnly, masked []string) {
	once := func(field string, list []string, action func(string) Action) {
		for i, p := range list {
			clean := cleanPath(p)
			again := slices.ContainsFunc(list[:i], func(before string) bool { return cleanPath(before) == clean })
			if !again {
				b.add(jsonpath.Index(field, i), action(clean))
			}
		}
	}
	once("linux.readonlyPaths", readOnly, func(p string) Action { return readOnlyPath{p} })
	if len(masked) > 0 {
		b.add("linux.maskedPaths", prepareMasks{})
	}
	once("linux.maskedPaths", masked, func(p string) Action { return maskPath{p} })
}
