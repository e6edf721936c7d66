package libcontainer

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/specconv"
)

// Delete removes a stopped container, or what a killed create left of one: its remaining processes, its cgroup, its state. Then
// it runs the poststop hooks. The error is ErrRunning when the container has not stopped.
func (c *Container) Delete() error {
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		if status != specs.StateStopped {
			return fmt.Errorf("%w (%s)", ErrRunning, status)
		}
		return v.destroy(c.runtime)
	})
}

// Remove kills and deletes the container with this id, whatever its state. That there is none is no error.
func (r *Runtime) Remove(id string) error {
	c := &Container{runtime: r, id: id}
	if err := specconv.ValidateID(id); err != nil {
		return c.wrap(err)
	}
	// A create or a delete that was killed at the wrong moment leaves a folder that has no id.
	defer state.Open(r.Root).Sweep()
	v, err := c.view(exclusive)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer v.close()
	return c.wrap(v.destroy(r))
}

// removeCgroup removes the container's cgroup, and the unit that it is. The container's own processes have been killed or have ended.
func (v *view) removeCgroup(r *Runtime) error {
	cgroup, stop := v.cgroup(), v.stopUnit(r)
	// Who is left where the end of the first process has ended all the container's own came later, and belongs to others.
	ended := v.rec.Pid != 0 && v.ownPidNamespace()
	if ended && !v.rec.SharedCgroup && stop == nil && cgroup.DeleteEmpty() {
		return nil
	}
	return removeCgroup(cgroup, v.rec.SharedCgroup || ended, stop)
}

// destroy undoes what create has done. The caller holds the lock.
func (v *view) destroy(r *Runtime) error {
	if !v.incomplete {
		if err := v.endMembers(); err != nil {
			return err
		}
		if err := v.end(); err != nil {
			return err
		}
		v.returnDevices(r)
		if err := v.removeCgroup(r); err != nil {
			return err
		}
	}
	if err := v.removeRDT(); err != nil {
		return err
	}
	if err := unbindHostRoot(v.rec.Rootfs, v.rec.RootMount); err != nil {
		return err
	}
	if err := v.dir.Remove(); err != nil {
		return err
	}
	if v.rec.Status == specs.StateCreated {
		poststop(r, v.rec)
	}
	return nil
}
