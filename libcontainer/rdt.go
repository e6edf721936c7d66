package libcontainer

import (
	"errors"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/intelrdt"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
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

// planRDT finds out which groups of the resctrl file system the container is to be in, and puts them into the record. The container's id is
// taken by now, so that a group with that name is not another container's of this runtime.
func (c *creation) planRDT() (err error) {
	l := c.bundle.Spec.Linux
	if l == nil || l.IntelRdt == nil {
		return nil
	}
	if c.rdt, err = intelrdt.Plan(c.id, l.IntelRdt); err == nil {
		c.noteRDT()
	}
	return err
}

func (c *creation) noteRDT() {
	c.rec.RDTGroup, c.rec.RDTMonitor, c.rec.RDTOwned = c.rdt.Dir, c.rdt.Monitor, c.rdt.Owned()
}

func (c *creation) makeRDT() error {
	if c.rdt == nil {
		return nil
	}
	return c.rdt.Make(func() error {
		c.noteRDT()
		return c.dir.Write(c.rec)
	})
}

// joinRDT moves the process into its groups, before it starts any other.
func (c *creation) joinRDT() error {
	if c.rdt == nil {
		return nil
	}
	return c.rdt.Join(c.process.Pid())
}

// removeRDT removes the groups that a failed creation has made.
func (c *creation) removeRDT() error {
	if c.rdt == nil {
		return nil
	}
	return c.rdt.Undo()
}

// removeRDT removes the groups that are the container's own.
func (v *view) removeRDT() error {
	var errs []error
	if v.rec.RDTMonitor != "" {
		errs = append(errs, intelrdt.Remove(v.rec.RDTMonitor))
	}
	if v.rec.RDTOwned {
		errs = append(errs, intelrdt.Remove(v.rec.RDTGroup))
	}
	return errors.Join(errs...)
}

// tasksOfRDT opens the files by which a process joins the container's groups. Groups that were removed meanwhile are left out: the
// container's processes are in them no longer, either.
func (v *view) tasksOfRDT() (named []nsenter.NamedFile, release func(), err error) {
	release = func() {
		for _, n := range named {
			n.File.Close()
		}
	}
	for _, group := range []struct {
		name nsenter.FD
		dir  string
	}{{setup.RDTTasks, v.rec.RDTGroup}, {setup.RDTMonitorTasks, v.rec.RDTMonitor}} {
		if group.dir == "" {
			continue
		}
		f, err := os.OpenFile(filepath.Join(group.dir, "tasks"), os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			release()
			return nil, nil, err
		}
		named = append(named, nsenter.NamedFile{Name: string(group.name), File: f})
	}
	return named, release, nil
}
