package libcontainer

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/specconv"
)

// Update changes the limits of a container that has been created and not stopped, to those of r that are set; the others stay. Device
// rules change when r lists any: then they take the place of all others, as those of config.json do at create.
//
// The error is ErrNotRunning when the container has stopped, specconv.Faults when r is not valid, and then nothing is changed. It is a
// *cgroups.ResourceError when the kernel refuses a limit: those before it stay set. What cannot be applied on this
// host is told to Warn.
//
// Nothing of this is recorded. Whoever wants to know a limit reads it from the kernel, which is right after other programs' changes, too.
func (c *Container) Update(r *specs.LinuxResources) error {
	if err := specconv.ValidateResources(r); err != nil {
		return err
	}
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		switch status {
		case specs.StateStopped:
			return ErrNotRunning
		case specs.StateCreating:
			return errCreating
		}
		if err := v.placement().Update(r, c.runtime.warn); err != nil {
			return err
		}
		for _, w := range cgroups.Unapplied(r) {
			c.runtime.warn(w)
		}
		return nil
	})
}
