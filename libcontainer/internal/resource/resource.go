// Package resource has what a container holds on the host beside its processes: the entry in the
// state directory, groups of the resctrl filesystem, mounts, a socket for the service manager,
// network devices.
//
// Each is entered into the state record before it is made, so that delete finds it when the creator
// was killed.
package resource

import (
	"errors"
	"slices"

	"github.com/orlop/orlop/libcontainer/internal/state"
)

// A Resource is made for a container that is being created.
type Resource interface {
	// Record enters into the record what Prepare is going to make.
	Record(rec *state.Record) error
	// Prepare makes it, or begins to.
	Prepare() error
	// Undo removes what was made. Nothing may have been.
	Undo() error
}

// A List are resources in the order in which they are made.
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

// Undo implements Resource: it removes all, the last one first.
func (l List) Undo() error {
	var errs []error
	for _, r := range slices.Backward(l) {
		errs = append(errs, r.Undo())
	}
	return errors.Join(errs...)
}
