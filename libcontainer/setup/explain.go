package setup

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// A StepError is the failure of a step.
type StepError struct {
	Step int    // number in the plan
	Verb string // kind of the action, "" when only the state record tells of it
	// Title is the whole action, and Field the JSON path in config.json that it comes from, "" when it is the runtime's own.
	Title, Field string
	Call         string // the system call that failed, "" for what the plan itself decided
	Errno        syscall.Errno
	Hint         string // what Errno stands for there, "" where that is plain
}

// Error says which field asked for what, and why it failed:
//
//	mounts[3]: mount tmpfs on /dev: fsmount: invalid argument
//
// For a program that cannot be executed the call is left out: engines look for `exec "foo": executable file not found in $PATH` (Docker,
// Podman) and `exec "/foo": permission denied`.
func (e *StepError) Error() string {
	text := e.Title
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Call != "" {
		text += ": " + e.Call
	}
	if e.nothing() {
		return text + ": there is no program to be executed"
	}
	if e.Verb == verbSearch && e.Errno == unix.ENOENT {
		return text + ": executable file not found in $PATH"
	}
	text += ": " + e.Errno.Error()
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Place returns the Field.
func (e *StepError) Place() string { return e.Field }

// hint returns what an action knows of the kernel's answer.
func hint(s Step, errno syscall.Errno) string {
	if h, ok := s.Action.(interface{ hint(syscall.Errno) string }); ok {
		return h.hint(errno)
	}
	return ""
}

// titleNothing is the title of the start of a container that has no program.
const titleNothing = "start"

func (e *StepError) nothing() bool {
	return e.Title == titleNothing && e.Errno == unix.EINVAL && e.Call == ""
}

// verbSearch is the verb of a search through PATH. That it found nothing is no system call's error.
const verbSearch = "search"

// Unwrap returns the errno.
func (e *StepError) Unwrap() error { return e.Errno }

// Explain names the step of the plan that a failure of its program belongs to. The error is a [*StepError].
func (p *Plan) Explain(prog *nsenter.Program, f *nsenter.Failure) error {
	ops := prog.Ops()
	if f.Op < 0 || f.Op >= len(ops) || ops[f.Op].Step >= len(p.Steps) {
		return fmt.Errorf("plan: a failure of the unknown operation %d: %w", f.Op, f.Errno)
	}
	op := ops[f.Op]
	s := p.Steps[op.Step]
	text := title(s)
	for _, o := range p.options {
		if option := ": option " + quote(o.parameter); o.op == f.Op && !strings.HasSuffix(text, option) {
			text += option
		}
	}
	return &StepError{Step: op.Step, Verb: s.Verb(), Title: text, Field: s.Field, Call: callOf(s, op), Errno: f.Errno, Hint: hint(s, f.Errno)}
}

// title is what an error says of a step: of a program that is looked for or executed, only its name.
func title(s Step) string {
	switch a := s.Action.(type) {
	case findProgram:
		return "exec " + quote(a.Name)
	case execProgram:
		return "exec " + quote(a.Name)
	case execHook:
		return "exec " + quote(a.Path)
	case nothingToExec:
		return titleNothing
	}
	return s.String()
}

func callOf(s Step, op nsenter.Op) string {
	if _, ok := op.Syscall(); !ok {
		return ""
	}
	switch s.Action.(type) {
	case findProgram, execProgram, execHook:
		return ""
	}
	return op.Name()
}

// A Remaining is an operation that comes after the wait on the start socket. Its failure reaches a process that has no plan.
type Remaining struct {
	Op    int    `json:"op"`
	Call  string `json:"call,omitempty"`
	Title string `json:"title"`
	Field string `json:"field,omitempty"`
}

// Remains lists the operations that come after the wait on the start socket, for the state record.
func (p *Plan) Remains(prog *nsenter.Program) []Remaining {
	var list []Remaining
	waited := false
	for i, op := range prog.Ops() {
		nr, ok := op.Syscall()
		if waited {
			s := p.Steps[op.Step]
			list = append(list, Remaining{i, callOf(s, op), title(s), s.Field})
		}
		waited = waited || ok && nr == unix.SYS_ACCEPT4
	}
	return list
}

// ExplainRemaining names the operation that failed after the wait on the start socket. The error is a [*StepError].
func ExplainRemaining(list []Remaining, f *nsenter.Failure) error {
	for _, r := range list {
		if r.Op == f.Op {
			return &StepError{Title: r.Title, Field: r.Field, Call: r.Call, Errno: f.Errno}
		}
	}
	return errors.Join(fmt.Errorf("start: a failure of the unknown operation %d", f.Op), f.Errno)
}
