package libcontainer

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/intelrdt"
	"github.com/orlop/orlop/specconv"
)

// ErrNoRDT means that the container is in no group of the resctrl file system: it was created without linux.intelRdt.
var ErrNoRDT = errors.New("container has no Intel RDT group: it was created without linux.intelRdt")

// UpdateRDT changes what a container's group in the resctrl file system may use, as linux.intelRdt's l3CacheSchema and memBwSchema do.
// Empty ones stay as they are. A group that others share changes for them, too. The error is ErrNoRDT when the container has none,
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
