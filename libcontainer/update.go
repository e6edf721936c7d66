package libcontainer

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/specconv"
)

// Update changes the limits of a container that has been created and not stopped, to those of r
// that are set; the others stay. Device rules change when r lists any: then they take the place of
// all others, as those of config.json do at create.
//
// The error is ErrNotRunning when the container has stopped, specconv.Faults when r is not valid,
// and then nothing is changed. It is a *cgroups.ResourceError when the kernel refuses a limit:
// those before it stay set. What cannot be applied on this host is told to Warn.
//
// Nothing of this is recorded. Whoever wants to know a limit reads it from the kernel, which is
// right after other programs' changes, too.
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

// ErrNoRDT means that the container is in no group of the resctrl file system: it was created
// without linux.intelRdt.
var ErrNoRDT = errors.New("container has no Intel RDT group: it was created without linux.intelRdt")

// UpdateRDT changes what a container's group in the resctrl file system may use, as
// linux.intelRdt's l3CacheSchema and memBwSchema do. Empty ones stay as they are. A group that
// others share changes for them, too. The error is ErrNoRDT when the container has none,
// ErrNotRunning when it has stopped, and specconv.Faults when a schema is not valid.
func (c *Container) UpdateRDT(l3CacheSchema, memBwSchema string) error {
	if err := specconv.ValidateIntelRdt(&specs.LinuxIntelRdt{L3CacheSchema: l3CacheSchema, MemBwSchema: memBwSchema}); err != nil {
		return err
	}
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		switch {
		case status == specs.StateStopped:
			return ErrNotRunning
		case status == specs.StateCreating:
			return errCreating
		case v.rec.RDTGroup == "":
			return ErrNoRDT
		}
		return intelrdt.Update(v.rec.RDTGroup, l3CacheSchema, memBwSchema)
	})
}
