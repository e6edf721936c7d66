package setup

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// A path through a dangling link of the image is created where the link leads, inside the root.
// System calls alone cannot do that: mkdirat(2) and mknodat(2) do not follow links, and openat2(2)
// does not say which component of a path is missing. So the runtime reads the links, and the
// process creates what is missing, component by component, with its own privileges and in its own
// user namespace:
//
// 	process                                    runtime
// 	  MessageMissing, the root        ---->      walks the path in that root, reads its links
// 	  opens Parent, makes Name there  <----      Missing
//
// The answer is a hint and is not trusted. Parent is opened in the root like every path of the
// container, and Name is created in the open directory without following links. Swapping
// directories and links meanwhile only changes where in the root the file is created.

// Missing is the answer to a [MessageMissing]: the first component of a path that does not exist.
type Missing struct {
	Parent string // an absolute path in the root, without links when it was walked
	Name   string
	Last   bool // the path ends there; otherwise a directory is made
}

// The encoding of a Missing: a word that is 0 for the last component, and two zero-terminated
// strings.
const (
	missingName   = 4
	missingParent = missingName + unix.NAME_MAX + 1
	missingSize   = missingParent + unix.PathMax
)

// Encode returns the answer as the process reads it.
func (m Missing) Encode() ([]byte, error) {
	if m.Name == "" || strings.ContainsAny(m.Name, "/\x00") || m.Name == "." || m.Name == ".." {
		return nil, fmt.Errorf("%q is not a name", m.Name)
	}
	if len(m.Name) > unix.NAME_MAX || len(m.Parent) >= unix.PathMax {
		return nil, syscall.ENAMETOOLONG
	}
	b := make([]byte, missingParent+len(m.Parent)+1)
	if !m.Last {
		binary.LittleEndian.PutUint32(b, 1)
	}
	copy(b[missingName:], m.Name)
	copy(b[missingParent:], m.Parent)
	return b, nil
}

// A wantedPath is a path that the process may ask about with a MessageMissing.
type wantedPath struct {
	path string
	step int
}

// WantedPath returns the path that a [MessageMissing] asks about. n is the message's value.
func (p *Plan) WantedPath(n uint32) (string, bool) {
	if int(n) >= len(p.wanted) {
		return "", false
	}
	return p.wanted[n].path, true
}

// WantedPathError returns the error of a step whose path cannot be created. n is the value of its
// [MessageMissing].
func (p *Plan) WantedPathError(n uint32, errno syscall.Errno) error {
	if int(n) >= len(p.wanted) {
		return fmt.Errorf("plan: no step has the path %d: %w", n, errno)
	}
	step := p.wanted[n].step
	return p.stepError(step, title(p.Steps[step]), "follow links", errno)
}

// makeMissing emits the creation of the missing components of a path that goes through links. It
// continues when the runtime reports that the last component was the next one, whether this process
// or another one has created it.
func (l *lowering) makeMissing(p string, kind destinationKind) {
	l.followLinks(p, func(parent nsenter.Reg, name nsenter.Addr) {
		if kind == aFile {
			l.atSent(unix.SYS_MKNODAT, parent, name, nsenter.Int(unix.S_IFREG|0o755), nsenter.Int(0)).Ignore(unix.EEXIST)
		} else {
			l.atSent(unix.SYS_MKDIRAT, parent, name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
		}
	})
}

// followLinks emits the creation of the missing directories of a path that goes through links, and
// then makeLast for its last component.
func (l *lowering) followLinks(p string, makeLast func(parent nsenter.Reg, name nsenter.Addr)) {
	if l.answer == 0 {
		l.answer = l.prog.Bytes(make([]byte, missingSize))
	}
	name, parent := l.answer+missingName, l.fd()
	again, last := l.prog.NewLabel(), l.prog.NewLabel()
	l.prog.Place(again)
	l.sendFile(MessageMissing, l.root, nsenter.Int(len(l.wanted)))
	l.awaitData(l.answer, missingSize)
	l.openSent(parent, l.answer+missingParent)
	l.prog.Load(l.answer, 1, 0).OnZero(last)
	l.atSent(unix.SYS_MKDIRAT, parent, name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
	l.call(unix.SYS_CLOSE, parent)
	l.prog.Jump(again)
	l.prog.Place(last)
	makeLast(parent, name)
	l.wanted = append(l.wanted, wantedPath{p, l.step})
}
