// Package resource manages what a container has on the host besides its processes: its state
// directory, resctrl groups, mounts, the notify socket and network devices.
//
// Each resource is recorded before it is created: if the creator is killed, delete finds it.
package resource

import (
	"errors"
	"slices"

	"github.com/orlop/orlop/libcontainer/internal/state"
)

// A Resource belongs to a container that is being created.
type Resource interface {
	// Record enters into the record what Prepare is going to create.
	Record(rec *state.Record) error
	// Prepare creates the resource, or starts to.
	Prepare() error
	// Undo removes what was created, if anything.
	Undo() error
}

// A List is resources in the order of their creation.
type List []Resource

// Record implements Resource.
func (l List) Record(rec *state.Record) error {
	for _, r := range l {
		if err := r.Record(rec); err != nil {
			return err
		}
	}
	return nil
}

// Prepare implements Resource.
func (l List) Prepare() error {
	for _, r := range l {
		if err := r.Prepare(); err != nil {
			return err
		}
	}
	return nil
}

// Undo implements Resource. It removes the last resource first.
func (l List) Undo() error {
	var errs []error
	for _, r := range slices.Backward(l) {
		errs = append(errs, r.Undo())
	}
	return errors.Join(errs...)
}
