package setup

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// A path that leads through a dangling link of the image is made where the link leads, inside the root. System calls cannot do that
// alone: mkdirat(2) and mknodat(2) follow no links, and openat2(2) does not say which part of a path it misses. So the runtime
// reads the links, and the process makes what is missing, part by part, with its own rights and in its own user namespace:
//
//	process                                    runtime
//	  MessageMissing, the root        ---->      walks the path in that root, reads its links
//	  opens Parent, makes Name there  <----      Missing
//
// The answer is a hint and nothing is trusted to it: Parent is opened in the root like every path of the container, and Name is made in
// the open directory, where nothing is followed. Whoever swaps directories and links meanwhile chooses where in the root something is made.

// Missing is the answer to a [MessageMissing]: the first part of a path that is not there.
type Missing struct {
	Parent string // an absolute path in the root, without links when it was walked
	Name   string
	Last   bool // the path ends there; otherwise a directory is to be made
}

// How a Missing is sent: a word that is 0 for the last part, and two strings that end with a zero.
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

// A wantedPath is a path that the process may ask for with a MessageMissing.
type wantedPath struct {
	path string
	step int
}

// WantedPath returns the path that a [MessageMissing] is about. n is the message's value.
func (p *Plan) WantedPath(n uint32) (string, bool) {
	if int(n) >= len(p.wanted) {
		return "", false
	}
	return p.wanted[n].path, true
}

// WantedPathError is the error of a step whose path cannot be made. n is the value of its [MessageMissing].
func (p *Plan) WantedPathError(n uint32, errno syscall.Errno) error {
	if int(n) >= len(p.wanted) {
		return fmt.Errorf("plan: path %d is wanted by no step: %w", n, errno)
	}
	step := p.wanted[n].step
	s := p.Steps[step]
	return &StepError{Step: step, Verb: s.Verb(), Title: title(s), Field: s.Field, Call: "follow links", Errno: errno}
}

// makeMissing appends what makes the missing parts of a path that links lead to. It goes on when the runtime says that the last part
// was the next one, whether the process has made it or somebody else.
func (l *lowering) makeMissing(p string, kind destinationKind) {
	l.followLinks(p, func(parent nsenter.Reg, name nsenter.Addr) {
		if kind == aFile {
			l.atTold(unix.SYS_MKNODAT, parent, name, nsenter.Int(unix.S_IFREG|0o755), nsenter.Int(0)).Ignore(unix.EEXIST)
		} else {
			l.atTold(unix.SYS_MKDIRAT, parent, name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
		}
	})
}

// followLinks appends what makes the missing directories of a path that links lead to, and then what makes its last part.
func (l *lowering) followLinks(p string, makeLast func(parent nsenter.Reg, name nsenter.Addr)) {
	if l.answer == 0 {
		l.answer = l.prog.Bytes(make([]byte, missingSize))
	}
	name, parent := l.answer+missingName, l.fd()
	again, last := l.prog.NewLabel(), l.prog.NewLabel()
	l.prog.Place(again)
	l.sendFile(MessageMissing, l.root, nsenter.Int(len(l.wanted)))
	l.awaitData(l.answer, missingSize)
	l.openTold(parent, l.answer+missingParent)
	l.prog.Load(l.answer, 1, 0).OnZero(last)
	l.atTold(unix.SYS_MKDIRAT, parent, name, nsenter.Int(0o755)).Ignore(unix.EEXIST)
	l.call(unix.SYS_CLOSE, parent)
	l.prog.Jump(again)
	l.prog.Place(last)
	makeLast(parent, name)
	l.wanted = append(l.wanted, wantedPath{p, l.step})
}
