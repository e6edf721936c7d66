package placement

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// cgroupCreation is the placement of a new container in a cgroup that the runtime creates. The
// process joins it in one of two ways:
//
//	first     the cgroup exists when the process starts: the kernel puts it into cgroup2, and it
//	          joins v1 hierarchies by file descriptors, before all else
//	deferred  v1 hierarchies are made while the process sets itself up: it joins them by their
//	          paths when they exist
type cgroupCreation struct {
	base
	found      bool // the cgroup, or a part of it, existed before
	joinMemory bool // the process joins the memory cgroup last
	deferred   bool
	making     <-chan error // nil until the forker begins to make it
}

func newCgroup(b base) (Creation, error) {
	c := &cgroupCreation{base: b}
	cgroup, err := cgroups.New(c.layout, c.linux().CgroupsPath, c.ID)
	if err != nil {
		return nil, err
	}
	if c.Rootless && !cgroup.Creatable() {
		return newNone(b)
	}
	c.cgroup = cgroup
	if err := c.plan(nil, false); err != nil {
		return nil, err
	}
	if !c.Dry {
		c.found = c.cgroup.Find()
	}
	c.deferred = c.mayDefer()
	return c, nil
}

// plan completes the manager of the cgroup. awaits is set if the process waits while it is moved
// into the cgroup.
func (c *cgroupCreation) plan(u *unitName, awaits bool) error {
	if c.Rootless {
		c.cgroup.LeaveDevices()
	}
	if err := c.checkBelow(u); err != nil {
		return err
	}
	c.cgroup.Delegate(c.Bundle.Spec.Annotations[specconv.DelegateCgroup])
	// A new cgroup namespace shows what lies below the process's cgroups at its creation.
	n, ok := c.Bundle.Namespace(specs.CgroupNamespace)
	c.joinMemory = !awaits && (!ok || n.Path != "") && c.cgroup.JoinMemoryLater()
	return nil
}

// mayDefer reports whether the process can start before its cgroup exists, since creating v1
// cgroups takes half as long as its setup. When it joins, it must see the host's paths and have the
// runtime's rights. A new cgroup namespace would show the cgroup that it started in. An existing
// cgroup must first be checked for other processes. In a joined PID namespace a child replaces the
// process, and pids.max leaves room for two processes only until Tighten.
func (c *cgroupCreation) mayDefer() bool {
	if c.found || len(c.cgroup.Joins()) == 0 {
		return false
	}
	mount, ok := c.Bundle.Namespace(specs.MountNamespace)
	if !ok || mount.Path != "" {
		return false
	}
	if _, ok := c.Bundle.Namespace(specs.UserNamespace); ok {
		return false
	}
	if pid, ok := c.Bundle.Namespace(specs.PIDNamespace); ok && pid.Path != "" {
		return false
	}
	n, ok := c.Bundle.Namespace(specs.CgroupNamespace)
	return !ok || n.Path != ""
}

// Check implements Creation.
func (c *cgroupCreation) Check() []error {
	faults := c.cgroup.Lacks(c.resources())
	if p := c.Bundle.Spec.Process; p != nil && p.Scheduler != nil && (p.Scheduler.Policy == specs.SchedFIFO || p.Scheduler.Policy == specs.SchedRR) {
		if err := c.cgroup.LacksRealTime(c.resources()); err != nil {
			faults = append(faults, specconv.Invalid("process.scheduler", err.Error()))
		}
	}
	return faults
}

// Notes implements Creation. They include limits that no kernel supports any more.
func (c *cgroupCreation) Notes() []string {
	return append(c.notes, cgroups.Unapplied(c.resources())...)
}

// Record implements Creation.
func (c *cgroupCreation) Record(rec *state.Record, dir *state.Dir) {
	c.base.Record(rec, dir)
	rec.FoundCgroups = c.cgroup.Found()
}

// Join implements Creation.
func (c *cgroupCreation) Join(o *setup.Options) []launch.Deferred {
	o.JoinMemory = c.joinMemory
	if !c.deferred {
		return joinCgroups(c.cgroup, c.cgroup.Joins(), o)
	}
	for _, h := range c.cgroup.Joins() {
		o.DeferredCgroups = append(o.DeferredCgroups, setup.DeferredCgroup{Hierarchy: h, Tasks: c.cgroup.TasksPath(h)})
	}
	if o.JoinMemory {
		o.MemoryPath = c.cgroup.TasksPath(c.cgroup.HierarchyOf("memory"))
	}
	return nil
}

// Begin implements Creation.
func (c *cgroupCreation) Begin(f *forker.Forker) {
	if !c.deferred {
		c.making = f.Do(c.create)
	}
}

func (c *cgroupCreation) create() error { return inUse(c.cgroup.Create(c.resources())) }

// inUse names the field to change when the cgroup belongs to others.
func inUse(err error) error {
	if errors.Is(err, cgroups.ErrOccupied) || errors.Is(err, cgroups.ErrFrozen) {
		return &specconv.FieldError{Path: "linux.cgroupsPath", Err: err}
	}
	return err
}

// Start implements Creation.
func (c *cgroupCreation) Start(f *forker.Forker, p *launch.Process) error {
	if c.deferred {
		return c.startFirst(f, p)
	}
	if err := start(f, p, c.delegate, c.cgroup.Spawn); err != nil || p.ClonesLast() {
		return err // if it clones, pids.max must leave room for the second process
	}
	return c.Tighten()
}

// startFirst starts the process on the forker, and creates the cgroup meanwhile.
func (c *cgroupCreation) startFirst(f *forker.Forker, p *launch.Process) error {
	if err := c.cgroup.CreateUnified(); err != nil {
		return inUse(err)
	}
	process := f.Do(func() error {
		if err := f.ResetAffinity(); err != nil {
			return err
		}
		return c.cgroup.SpawnEarly(p.Start)
	})
	err := c.create()
	if err == nil {
		c.delegate()
	}
	// Start must have finished in any case. Its own error matters less: without the cgroup the
	// process may have failed to start.
	if err := cmp.Or(err, <-process); err != nil {
		return err
	}
	return p.Unblock()
}

// Undo implements Creation. All processes in a cgroup that was created or taken over for the
// container belong to it.
func (c *cgroupCreation) Undo() error {
	c.awaitMaking()
	return errors.Join(remove(c.cgroup, nil), c.cgroup.Undo())
}

// awaitMaking waits until the forker has finished creating the cgroup.
func (c *cgroupCreation) awaitMaking() {
	if c.making != nil {
		<-c.making // Start has returned the error, or another error precedes it
		c.making = nil
	}
}

// remove kills the processes in a container's cgroup and removes it. stop stops its systemd unit;
// it may be nil.
func remove(cgroup *cgroups.Manager, stop func() error) error {
	errs := []error{cgroup.Kill(unix.SIGKILL)}
	if stop != nil {
		errs = append(errs, stop())
	}
	return errors.Join(append(errs, cgroup.Delete())...)
}

// cgroupfs is the placement of a container in a cgroup of its own.
type cgroupfs struct {
	rec    *state.Record
	cgroup *cgroups.Manager
}

// Cgroup implements Placement.
func (c *cgroupfs) Cgroup() (*cgroups.Manager, error) { return c.cgroup, nil }

// Frozen implements Placement.
func (c *cgroupfs) Frozen() (bool, error) { return c.cgroup.Frozen() }

// ThawKilled implements Placement.
func (c *cgroupfs) ThawKilled() error { return c.cgroup.ThawKilled() }

// Processes implements Placement.
func (c *cgroupfs) Processes() ([]int, error) { return c.cgroup.Processes() }

// Signal implements Placement.
func (c *cgroupfs) Signal(sig unix.Signal) error { return c.cgroup.Kill(sig) }

// EndOthers implements Placement.
func (c *cgroupfs) EndOthers() error { return nil }

// Update implements Placement.
func (c *cgroupfs) Update(r *specs.LinuxResources, _ func(string)) error { return c.cgroup.Update(r) }

// Remove implements Placement.
func (c *cgroupfs) Remove(warn func(string)) error { return c.remove(nil, warn) }

// enterLimit is how long processes may take that are about to enter a container that has ended.
const enterLimit = 2 * time.Second

// remove removes the cgroup, and its systemd unit if stop is set.
func (c *cgroupfs) remove(stop func() error, warn func(string)) error {
	if c.rec.FoundCgroups != nil {
		if err := c.readBefore(); err != nil {
			return err
		}
	}
	if c.rec.Pid == 0 || !c.rec.Owns(specs.PIDNamespace) {
		return remove(c.cgroup, stop)
	}
	// With its own PID namespace, every process of the container is dead by now, except those that
	// are about to enter it.
	if stop == nil && c.cgroup.DeleteEmpty() {
		return nil
	}
	// An exec that is not in the PID namespace yet ends once it sees that the container has ended.
	switch err := c.cgroup.WaitEmpty(enterLimit); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		warn("cgroup: processes that are not the container's were moved into " + c.cgroup.Dir() + ", which stays")
		return nil
	case err != nil:
		return err
	}
	return remove(c.cgroup, stop)
}

// readBefore gives the manager the recorded earlier state of the cgroup's directories.
func (c *cgroupfs) readBefore() error {
	if c.rec.CgroupBefore == nil {
		return nil
	}
	before := new(cgroups.Before)
	if err := json.Unmarshal(c.rec.CgroupBefore, before); err != nil {
		return fmt.Errorf("%w: cgroupBefore: %w", state.ErrDamaged, err)
	}
	c.cgroup.SetBefore(before)
	return nil
}
