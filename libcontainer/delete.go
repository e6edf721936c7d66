package libcontainer

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/resource"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/specconv"
)

// Delete removes a stopped container, or what a killed create left of one: its remaining processes,
// its cgroup, its state. Then it runs the poststop hooks. The error is ErrRunning when the
// container has not stopped.
func (c *Container) Delete() error {
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		if status != specs.StateStopped {
			return fmt.Errorf("%w (%s)", ErrRunning, status)
		}
		return v.destroy(c.runtime)
	})
}

// Remove kills and deletes the container with this id, whatever its state. It is no error if there
// is none.
func (r *Runtime) Remove(id string) error {
	c := &Container{runtime: r, id: id}
	if err := specconv.ValidateID(id); err != nil {
		return c.wrap(err)
	}
	// A create or a delete that was killed at the wrong moment leaves a directory without an id.
	defer state.Open(r.Root).Sweep()
	err := c.remove()
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// remove is Remove for a container that is there.
func (c *Container) remove() error {
	v, err := c.view(exclusive)
	if err != nil {
		return err
	}
	defer v.close()
	creating, err := v.dir.Creating()
	if err != nil {
		return c.wrap(err)
	}
	if creating {
		err = v.endCreator()
	}
	if err == nil {
		err = v.destroy(c.runtime)
	}
	return c.wrap(err)
}

// endCreator makes the creator of a container remove it, by ending the container's process, and
// returns with the lock if something is left: the creator was killed, or had finished before it
// knew.
func (v *view) endCreator() error {
	if err := v.dir.LockSame(lockLimit); err != nil { // the creator has it until the process is recorded
		return err
	}
	if err := v.read(); err != nil {
		return err
	}
	if err := v.dir.Doom(); err != nil {
		return err
	}
	if err := v.end(); err != nil {
		return err
	}
	if err := v.dir.Unlock(); err != nil {
		return err
	}
	if err := v.dir.AwaitCreator(creatorLimit); err != nil {
		return err
	}
	if err := v.dir.LockSame(lockLimit); err != nil {
		return err
	}
	return v.read()
}

// destroy undoes create. The caller holds the lock.
func (v *view) destroy(r *Runtime) error {
	if !v.incomplete {
		place := v.placement()
		if err := place.EndOthers(); err != nil {
			return err
		}
		if err := v.end(); err != nil {
			return err
		}
		// What cannot be returned is only a warning: a container that cannot be deleted would be of
		// no help.
		if err := resource.ReturnNetDevices(v.rec); err != nil {
			r.warn(err.Error())
		}
		if err := place.Remove(r.warn); err != nil {
			return err
		}
	}
	if err := resource.RemoveResctrl(v.rec); err != nil {
		return err
	}
	if err := resource.RemoveHostMounts(v.rec); err != nil {
		return err
	}
	if err := v.dir.Remove(); err != nil {
		return err
	}
	if v.rec.Status == specs.StateCreated {
		r.poststop(v.rec)
	}
	return nil
}
