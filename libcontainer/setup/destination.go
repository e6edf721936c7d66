package setup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// A destinationKind says what a destination must be.
type destinationKind uint8

const (
	aDirectory    destinationKind = iota // made when it is missing
	realDirectory                        // the same, and no component of its path may be a link
	aFile                                // an empty file is made when it is missing
	anything                             // it must exist
)

// destination emits the opening of a path of the container, creates what is missing of it, and
// returns the register of the descriptor. Links are followed, but never out of the root, and
// missing components are created where the links lead.
func (l *lowering) destination(p string, kind destinationKind) nsenter.Reg {
	if p == "/" {
		return l.root
	}
	fd := l.fd()
	if m := l.freshParent(p); m != nil {
		l.makeIn(m.fd, path.Base(p), kind)
		l.open(fd, m.fd, path.Base(p), unix.O_PATH|openFlags(kind), 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
		return fd
	}
	resolve := uint64(inRoot)
	if kind == realDirectory {
		resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	if kind == anything {
		l.open(fd, l.root, rel(p), unix.O_PATH, 0, resolve)
		return fd
	}
	flags := unix.O_PATH | openFlags(kind)
	missing, ask, done := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	l.openat2(l.root, rel(p), flags, 0, resolve).Result(fd).OnError(missing, unix.ENOENT, unix.EAGAIN)
	l.prog.Jump(done)
	l.prog.Place(missing)
	if kind == realDirectory {
		l.makePath(p, kind, resolve, noLabel)
	} else {
		l.makePath(p, kind, resolve, ask)
		l.openat2(l.root, rel(p), flags, 0, resolve).Result(fd).OnError(ask, unix.ENOENT, unix.EAGAIN)
		l.prog.Jump(done)
		l.prog.Place(ask)
		l.makeMissing(p, kind)
	}
	l.open(fd, l.root, rel(p), flags, 0, resolve)
	l.prog.Place(done)
	return fd
}

// mountPoint is destination for a path that is mounted on, or whose mount is changed. No link of
// the image may lead it into a procfs (CVE-2019-16884), which an earlier mount may have provided.
// specconv has checked paths without links. Where links lead, the runtime checks the opened
// descriptor, and that same descriptor is used, so swapping links meanwhile achieves nothing.
func (l *lowering) mountPoint(p string, kind destinationKind) nsenter.Reg {
	if p == "/" || kind == realDirectory || l.freshParent(p) != nil || l.inProc(p) {
		return l.destination(p, kind)
	}
	const noLinks = inRoot | unix.RESOLVE_NO_SYMLINKS
	fd, flags := l.fd(), unix.O_PATH|openFlags(kind)
	linked, ask, look, done := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	if kind != anything {
		trouble, missing := l.prog.NewLabel(), l.prog.NewLabel()
		l.openat2(l.root, rel(p), flags, 0, noLinks).Result(fd).OnError(trouble, unix.ENOENT, unix.ELOOP)
		l.prog.Jump(done)
		l.prog.Place(trouble)
		l.openat2(l.root, rel(p), flags, 0, inRoot).Result(fd).OnError(missing, unix.ENOENT, unix.EAGAIN)
		l.prog.Jump(look)
		l.prog.Place(missing)
		l.makePath(p, kind, inRoot, ask)
	}
	l.openat2(l.root, rel(p), flags, 0, noLinks).Result(fd).OnError(linked, unix.ELOOP)
	l.prog.Jump(done)
	l.prog.Place(linked)
	if kind != anything {
		l.openat2(l.root, rel(p), flags, 0, inRoot).Result(fd).OnError(ask, unix.ENOENT, unix.EAGAIN)
		l.prog.Jump(look)
		l.prog.Place(ask)
		l.makeMissing(p, kind)
	}
	l.open(fd, l.root, rel(p), flags, 0, inRoot)
	l.prog.Place(look)
	l.sendFile(MessageDestination, fd, nsenter.Int(l.step))
	l.await()
	l.prog.Place(done)
	return fd
}

// inProc reports whether a path is in what the plan has mounted on /proc. specconv decides which of
// its files may be mounted over, and none of them is reached through a link.
func (l *lowering) inProc(p string) bool {
	if !strings.HasPrefix(p, "/proc/") {
		return false
	}
	m := l.lastMounted(func(d string) bool { return d == "/proc" || d == "/" })
	return m != nil && m.destination == "/proc"
}

// DestinationError returns the error for a mount whose [MessageDestination] came with a file of a
// procfs. step is the message's value.
func (p *Plan) DestinationError(step uint32) error {
	path := "mounts"
	if int(step) < len(p.Steps) {
		path = p.Steps[step].Field + ".destination"
	}
	return specconv.Invalid(path, "leads into the procfs")
}

func openFlags(kind destinationKind) uint64 {
	if kind == aDirectory || kind == realDirectory {
		return unix.O_DIRECTORY
	}
	return 0
}

// tryOpen emits the opening of a path of the container for callers that distinguish more errors
// than open does. It tries several times because of EAGAIN: something was moved while the kernel
// resolved "..", which does not happen for the kernel's own paths. It returns the last attempt, so
// that the caller can handle its errors; the others continue at the label, which the caller places.
func (l *lowering) tryOpen(to nsenter.Reg, path string, flags uint64) (last *nsenter.Op, opened nsenter.Label) {
	const tries = 4
	opened = l.prog.NewLabel()
	if path != "/" && !kernelPath(path) {
		for range tries {
			next := l.prog.NewLabel()
			l.openat2(l.root, rel(path), flags, 0, inRoot).Result(to).OnError(next)
			l.prog.Jump(opened)
			l.prog.Place(next)
		}
	}
	return l.openat2(l.root, rel(path), flags, 0, inRoot).Result(to), opened
}

// kernelPath reports whether a path is in procfs or sysfs, whose links only lead downwards.
func kernelPath(p string) bool {
	return strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/")
}

// noLabel tells makePath that links are an error.
const noLabel = nsenter.Label(0)

// makePath emits the creation of the missing components of a path one by one. Each directory is
// opened from the root before anything is created in it, and a name is created in an open directory
// without following links. Whatever is moved or swapped meanwhile, the new files are inside the
// root. At a dangling link it continues at the label.
func (l *lowering) makePath(p string, kind destinationKind, resolve uint64, dangling nsenter.Label) {
	whole := rel(p)
	parent := l.root
	// Two are used in turn, because a path may have more components than there are registers.
	var parents [2]nsenter.Reg
	for start, i := 0, 0; ; i++ {
		end := strings.IndexByte(whole[start:], '/')
		if end < 0 {
			l.makeIn(parent, whole[start:], kind)
			return
		}
		end += start
		l.makeIn(parent, whole[start:end], aDirectory)
		to := &parents[i%2]
		if i < 2 {
			*to = l.fd()
		} else {
			l.call(unix.SYS_CLOSE, *to)
		}
		op := l.openat2(l.root, whole[:end], unix.O_PATH|unix.O_DIRECTORY, 0, resolve).Result(*to)
		if dangling != noLabel {
			op.OnError(dangling, unix.ENOENT, unix.EAGAIN)
		}
		parent, start = *to, end+1
	}
}

// makeIn emits the creation of a name in a directory, unless it exists. Neither call follows a
// link.
func (l *lowering) makeIn(dir nsenter.Reg, name string, kind destinationKind) {
	if kind == aFile {
		l.at(unix.SYS_MKNODAT, in(dir), name, nsenter.Int(unix.S_IFREG|0o755), nsenter.Int(0)).Ignore(unix.EEXIST)
		return
	}
	l.at(unix.SYS_MKDIRAT, in(dir), name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
}

// freshParent returns the mount whose root directory contains p, if only the plan has written to
// it. Then p itself cannot be a link.
func (l *lowering) freshParent(p string) *mounted {
	m := l.lastMounted(func(d string) bool { return d == "/" || d == p || strings.HasPrefix(p, d+"/") })
	if m != nil && m.fresh && m.destination == path.Dir(p) {
		return m
	}
	return nil
}
