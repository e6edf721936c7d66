package setup

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// Container plans a container's first process.
func Container(b *specconv.Bundle, o Options, f Facts) (*Plan, error) {
	return nil, errors.ErrUnsupported
}

// Exec plans process p, which joins a container.
func Exec(p *specs.Process, j Join, o Options, f Facts) (*Plan, error) {
	return nil, errors.ErrUnsupported
}

// Hook plans a process that joins a container's namespaces and executes a hook. With p it runs with the credentials of
// that process (startContainer), otherwise with the runtime's (createContainer).
func Hook(h specs.Hook, p *specs.Process, j Join, f Facts) (*Plan, error) {
	return nil, errors.ErrUnsupported
}

// Verify reports the first rule of safety that the plan breaks.
func (p *Plan) Verify() error { return errors.ErrUnsupported }

// Lower turns the plan into system calls. It refuses a plan that Verify refuses.
func (p *Plan) Lower() (*nsenter.Program, error) { return nil, errors.ErrUnsupported }

// Needs names all descriptors that the plan's steps refer to.
func (p *Plan) Needs() []Descriptor { return nil }

// String is the plan for people, a line a step.
func (p *Plan) String() string { return "" }

// MarshalJSON is the plan for programs.
func (p *Plan) MarshalJSON() ([]byte, error) { return nil, errors.ErrUnsupported }

// A Remaining is an operation that comes after the wait on the start socket.
type Remaining struct {
	Op    int    `json:"op"`
	Call  string `json:"call"`
	Title string `json:"title"`
	Field string `json:"field,omitempty"`
}

// A StepError is the failure of a step.
type StepError struct {
	Step               int
	Verb, Title, Field string
	Call               string
	Err                error
}

func (e *StepError) Error() string { return e.Title }

// Unwrap returns the errno.
func (e *StepError) Unwrap() error { return e.Err }

// Explain names the step that failed.
func (p *Plan) Explain(prog *nsenter.Program, f *nsenter.Failure) error { return f }

// Remains lists the operations that come after the wait on the start socket, for the state record.
func (p *Plan) Remains(prog *nsenter.Program) []Remaining { return nil }

// ExplainRemaining names the operation that failed after the wait on the start socket.
func ExplainRemaining(list []Remaining, f *nsenter.Failure) error { return f }

type lowering struct{}
