package libcontainer

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/specconv"
)

// Update changes the limits of a container that was created and has not stopped to those that are
// set in r; the others stay. If r has device rules, they replace all others, as those of
// config.json do at create.
//
// The error is ErrNotRunning when the container has stopped, and specconv.Faults when r is not
// valid: then nothing changes. It is a *cgroups.ResourceError when the kernel refuses a limit:
// those before it stay set. Warn gets what cannot be applied on this host.
//
// Nothing is recorded: the kernel has the limits, also after changes by other programs.
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

// ErrNoRDT means that the container is in no group of the resctrl filesystem: it was created
// without linux.intelRdt.
var ErrNoRDT = errors.New("container has no Intel RDT group: it was created without linux.intelRdt")

// UpdateRDT changes the schemata of a container's resctrl group, as linux.intelRdt's l3CacheSchema
// and memBwSchema do. An empty schema stays as it is. A shared group changes for all containers in
// it. The error is ErrNoRDT when the container has no group, ErrNotRunning when it has stopped, and
// specconv.Faults when a schema is not valid.
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
