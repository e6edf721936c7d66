package setup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
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
// Links are followed, but never out of the root; a link that leads nowhere is an error.
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
	missing, done := l.prog.NewLabel(), l.prog.NewLabel()
	l.openat2(l.root, rel(p), unix.O_PATH|openFlags(kind), 0, resolve).Result(fd).OnError(missing, unix.ENOENT, unix.EAGAIN)
	l.prog.Jump(done)
	l.prog.Place(missing)
	l.makePath(p, fd, kind, resolve)
	l.prog.Place(done)
	return fd
}

func openFlags(kind destinationKind) uint64 {
	if kind == aFile || kind == anything {
		return 0
	}
	return unix.O_DIRECTORY
}

// makePath appends what makes the missing parts of a path one by one. Each folder is opened from the root before something is made
// in it, and a name is made in an open folder, where nothing is followed: whatever is moved or swapped meanwhile, what is
// made lies inside the root.
func (l *lowering) makePath(p string, fd nsenter.Reg, kind destinationKind, resolve uint64) {
	whole := rel(p)
	parent := l.root
	var parents [2]nsenter.Reg // taken in turn: a path may have more parts than there are registers
	for start, i := 0, 0; ; i++ {
		end := strings.IndexByte(whole[start:], '/')
		if end < 0 {
			l.makeIn(parent, whole[start:], kind)
			l.open(fd, l.root, whole, unix.O_PATH|openFlags(kind), 0, resolve)
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
		l.open(*to, l.root, whole[:end], unix.O_PATH|unix.O_DIRECTORY, 0, resolve)
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
