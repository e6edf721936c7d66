package setup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// A destinationKind says what a destination is to be.
type destinationKind uint8

const (
	aFolder    destinationKind = iota // made when it is missing
	realFolder                        // the same, and no part of its path may be a link
	aFile                             // an empty file is made when it is missing
	anything                          // it must be there
)

// destination appends what opens a path of the container, making what is missing of it, and returns the register of the descriptor.
// Links are followed, but never out of the root, and what is missing is made where they lead.
func (l *lowering) destination(p string, kind destinationKind) nsenter.Reg {
	if p == "/" {
		return l.root
	}
	fd := l.fd()
	if m := l.freshParent(p); m != nil {
		l.makeIn(m.fd, path.Base(p), kind)
		m.made = append(m.made, path.Base(p))
		l.open(fd, m.fd, path.Base(p), unix.O_PATH|openFlags(kind), 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
		return fd
	}
	resolve := uint64(inRoot)
	if kind == realFolder {
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
	if kind == realFolder {
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

// mountPoint is destination for what is to be mounted on, or changed as a mount: no link of the image may lead that into a procfs
// (CVE-2019-16884), which can be there before, in the listed order of mounts. A path without links is what the configuration says, and
// specconv has judged it; where links lead, the runtime looks at. What is used is the descriptor that was looked at, so it does not matter
// how often links are swapped meanwhile.
func (l *lowering) mountPoint(p string, kind destinationKind) nsenter.Reg {
	if p == "/" || kind == realFolder || l.freshParent(p) != nil || l.inProc(p) {
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

// inProc reports whether a path lies in what the plan has mounted on /proc. Which files of it may be mounted over is
// specconv's to know: none is reached through a link.
func (l *lowering) inProc(p string) bool {
	if !strings.HasPrefix(p, "/proc/") {
		return false
	}
	for i := len(l.mounted) - 1; i >= 0; i-- {
		if d := l.mounted[i].destination; d == "/proc" || d == "/" {
			return d == "/proc"
		}
	}
	return false
}

// DestinationError is what becomes of a mount whose [MessageDestination] came with a file of a procfs. step is the message's value.
func (p *Plan) DestinationError(step uint32) error {
	f := specconv.Fault{Path: "mounts", Problem: "leads into the procfs"}
	if int(step) < len(p.Steps) {
		f.Path = p.Steps[step].Field + ".destination"
	}
	return f
}

func openFlags(kind destinationKind) uint64 {
	if kind == aFile || kind == anything {
		return 0
	}
	return unix.O_DIRECTORY
}

// tryOpen appends what opens a path of the container, for those who have to tell apart more errors than open does. It is tried several
// times, because of EAGAIN: something was moved while the kernel walked up from a folder, which it does for no path of the kernel's own.
// The last try is returned, for its errors; the others go on at the label, which the caller places.
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

// kernelPath reports whether a path belongs to procfs or sysfs, whose links lead nowhere but down.
func kernelPath(p string) bool {
	return len(p) > 6 && p[:6] == "/proc/" || len(p) > 5 && p[:5] == "/sys/"
}

// noLabel is the label for makePath when links are an error.
const noLabel = nsenter.Label(0)

// makePath appends what makes the missing parts of a path one by one. Each directory is opened from the root before something is made
// in it, and a name is made in an open directory, where nothing is followed: whatever is moved or swapped meanwhile, what is
// made lies inside the root. Where a part is a dangling link, it goes on at the label.
func (l *lowering) makePath(p string, kind destinationKind, resolve uint64, dangling nsenter.Label) {
	whole := rel(p)
	parent := l.root
	var parents [2]nsenter.Reg // taken in turn: a path may have more parts than there are registers
	for start, i := 0, 0; ; i++ {
		end := strings.IndexByte(whole[start:], '/')
		if end < 0 {
			l.makeIn(parent, whole[start:], kind)
			return
		}
		end += start
		l.makeIn(parent, whole[start:end], aFolder)
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

// makeIn appends what makes a name in a folder, if there is nothing of that name. Neither call follows a link.
func (l *lowering) makeIn(dir nsenter.Reg, name string, kind destinationKind) {
	if kind == aFile {
		l.at(unix.SYS_MKNODAT, in(dir), name, nsenter.Int(unix.S_IFREG|0o755), nsenter.Int(0)).Ignore(unix.EEXIST)
		return
	}
	l.at(unix.SYS_MKDIRAT, in(dir), name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
}

// freshParent returns the mount in whose root folder p lies, if only the plan has written to it; p's name itself
// is then no link.
func (l *lowering) freshParent(p string) *mounted {
	dir := path.Dir(p)
	for i := len(l.mounted) - 1; i >= 0; i-- {
		m := &l.mounted[i]
		if m.destination == "/" || m.destination == p || strings.HasPrefix(p, m.destination+"/") {
			if m.fresh && m.destination == dir {
				return m
			}
			return nil
		}
	}
	return nil
}
