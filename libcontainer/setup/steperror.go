package setup

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// A StepError is the failure of a step. A [specconv.FieldError] around it names the step's field of
// config.json.
type StepError struct {
	Step  int    // index in the plan
	Verb  string // kind of the action, "" when only the state record describes the step
	Title string // the whole action
	Call  string // the system call that failed, "" for a failure that the plan itself decided on
	Errno syscall.Errno
	Hint  string // what Errno means there, "" where that is plain
}

// Error says which action failed, and why:
//
//	mount tmpfs on /dev: fsmount: invalid argument
//
// It omits the call for a program that cannot be executed: engines look for `exec "foo": executable
// file not found in $PATH` (Docker, Podman) and `exec "/foo": permission denied`.
func (e *StepError) Error() string {
	text := e.Title
	if e.Call != "" {
		text += ": " + e.Call
	}
	if e.nothing() {
		return text + ": there is no program to execute"
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

// stepError returns the error of a step whose call failed with errno.
func (p *Plan) stepError(step int, title, call string, errno syscall.Errno) error {
	s := p.Steps[step]
	return &specconv.FieldError{Path: s.Field,
		Err: &StepError{Step: step, Verb: s.Verb(), Title: title, Call: call, Errno: errno, Hint: hint(s.Action, call, errno)}}
}

// titleNothing is the title of the start of a container that has no program.
const titleNothing = "start"

func (e *StepError) nothing() bool {
	return e.Title == titleNothing && e.Errno == unix.EINVAL && e.Call == ""
}

// verbSearch is the verb of a search through PATH. An unsuccessful search is not an error of a
// system call.
const verbSearch = "search"

// Unwrap returns the errno.
func (e *StepError) Unwrap() error { return e.Errno }

// FailedStep returns the error, which wraps a [*StepError], for a failure of the plan's program.
func (p *Plan) FailedStep(prog *nsenter.Program, f *nsenter.Failure) error {
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
	return p.stepError(op.Step, text, callOf(s, op), f.Errno)
}

// title is the text of a step in errors. For a program that is looked for or executed it is only
// the name.
func title(s Step) string {
	switch a := s.Action.(type) {
	case findProgram:
		return "exec " + quote(a.Name)
	case execProgram:
		return "exec " + quote(a.Name)
	case execHook:
		return "exec " + quote(a.Name)
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

// A Remaining is an operation after the wait on the start socket. A process that reports its
// failure no longer has the plan.
type Remaining struct {
	Op    int    `json:"op"`
	Call  string `json:"call,omitempty"`
	Title string `json:"title"`
	Field string `json:"field,omitempty"`
}

// Remains lists the operations after the wait on the start socket, for the state record.
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

// FailedRemaining returns the error, which wraps a [*StepError], for an operation that failed after
// the wait on the start socket.
func FailedRemaining(list []Remaining, f *nsenter.Failure) error {
	for _, r := range list {
		if r.Op == f.Op {
			return &specconv.FieldError{Path: r.Field,
				Err: &StepError{Title: r.Title, Call: r.Call, Errno: f.Errno, Hint: hint(nil, r.Call, f.Errno)}}
		}
	}
	return errors.Join(fmt.Errorf("start: a failure of the unknown operation %d", f.Op), f.Errno)
}
