package setup

import (
	"encoding/binary"
	"path"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// copyLink makes a symbolic link instead of binding one (copy-symlink). An existing link must have
// the same target.
type copyLink struct{ Destination, Target string }

func (copyLink) kind() kind       { return kind{phaseMounts, "link", ""} }
func (c copyLink) String() string { return "link " + c.Destination + " to " + c.Target }

func (c copyLink) lower(l *lowering) {
	dir, name := l.destination(path.Dir(c.Destination), aDirectory), path.Base(c.Destination)
	there, other, done := l.prog.NewLabel(), l.prog.NewLabel(), l.prog.NewLabel()
	l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str(c.Target), dir}, name).OnError(there, unix.EEXIST)
	l.prog.Jump(done)

	l.prog.Place(there)
	// One byte more than expected, to notice a longer target.
	size := len(c.Target) + 1
	want := make([]byte, (size+3)/4*4)
	copy(want, c.Target)
	text := l.prog.Bytes(make([]byte, len(want)))
	l.at(unix.SYS_READLINKAT, in(dir), name, text, nsenter.Int(size)).OnError(other, unix.EINVAL)
	for i := 0; i < len(want); i += 4 {
		same := l.prog.NewLabel()
		l.prog.Load(text+nsenter.Addr(i), ^uint32(0), binary.LittleEndian.Uint32(want[i:])).OnZero(same)
		l.prog.Jump(other)
		l.prog.Place(same)
	}
	l.prog.Jump(done)
	l.prog.Place(other)
	l.prog.Fail(unix.EEXIST)
	l.prog.Place(done)
}

// linkPoint is mountPoint for a destination whose last component is not followed if it is a
// symbolic link.
func (l *lowering) linkPoint(p string, kind destinationKind) nsenter.Reg {
	if p == "/" {
		return l.root
	}
	dir, fd := l.mountPoint(path.Dir(p), aDirectory), l.fd()
	l.makeIn(dir, path.Base(p), kind)
	l.open(fd, dir, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW, 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
	return fd
}
