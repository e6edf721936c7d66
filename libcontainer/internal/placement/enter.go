package placement

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// Entering says how a process is to join a container.
type Entering struct {
	Subs         []string // cgroups below the container's: see cgroups.Manager.Sub
	IgnorePaused bool     // also when the container is paused
	Full         bool     // pids.max has been hit before: see cgroups.Manager.Entry
}

// An Entrance is how a process joins the placement of a container.
type Entrance struct {
	// Deferred are the files by which it joins cgroups, and Inside those for when it has entered
	// the PID namespace.
	Deferred, Inside []launch.Deferred
	// EnterCgroup puts the process into its cgroup (setup.MessageCgroup); nil if it gets there by
	// itself.
	EnterCgroup func(pid int) error
	// Frozen is set when the process will freeze there.
	Frozen bool

	cgroup *cgroups.Manager // that the process is started in
	entry  cgroups.Entry
	first  int  // the PID of the container's first process
	sub    bool // the cgroup was asked for
}

// Start starts a process in the cgroup.
func (e *Entrance) Start(start func(cgroup int) error) error {
	err := e.cgroup.SpawnInto(e.entry, start)
	if errors.Is(err, unix.EBUSY) && !e.sub {
		// The container has created cgroups below its cgroup2 and enabled controllers for them.
		// Then its own cgroup cannot hold processes (cgroup-v2.rst, "No Internal Process
		// Constraint"), and this process joins the cgroup of the first one.
		if e.cgroup, err = e.cgroup.Beside(e.first); err == nil {
			err = e.cgroup.SpawnInto(e.entry, start)
		}
	}
	return err
}

// Explain turns the error of a refused clone into cgroups.ErrFull, if the cgroup limits processes.
func (e *Entrance) Explain(err error) error {
	if setup.IsRefusedClone(err) && e.cgroup.HierarchyOf("pids") != "" {
		return fmt.Errorf("%w: %w", cgroups.ErrFull, err)
	}
	return err
}

// Enter implements Placement.
func (n *none) Enter(e Entering, _ *setup.Options) (*Entrance, error) {
	if len(e.Subs) > 0 {
		return nil, ErrNoCgroup
	}
	return &Entrance{cgroup: &cgroups.Manager{}, first: n.rec.Pid}, nil
}

// Enter implements Placement.
func (c *cgroupfs) Enter(e Entering, o *setup.Options) (*Entrance, error) {
	cgroup, err := c.cgroupFor(e)
	if err != nil {
		return nil, err
	}
	frozen, err := cgroup.Frozen()
	if err != nil {
		return nil, err
	}
	if frozen && !e.IgnorePaused {
		return nil, cgroups.ErrFrozen
	}
	o.JoinMemory = cgroup.JoinMemoryLater()
	way := &Entrance{cgroup: cgroup, entry: cgroup.Entry(frozen, e.Full), first: c.rec.Pid, sub: len(e.Subs) > 0, Frozen: frozen}
	for _, h := range way.entry.Inside {
		o.JoinInside = append(o.JoinInside, setup.TasksOf(h))
		way.Inside = append(way.Inside, tasksOf(cgroup, h))
	}
	way.Deferred = joinCgroups(cgroup, way.entry.First, o)
	for _, h := range way.entry.Last {
		o.JoinLast = append(o.JoinLast, setup.TasksOf(h))
		way.Deferred = append(way.Deferred, tasksOf(cgroup, h))
	}
	return way, nil
}

// cgroupFor returns the cgroup that a process belongs in.
func (c *cgroupfs) cgroupFor(e Entering) (*cgroups.Manager, error) {
	switch {
	case len(e.Subs) > 0:
		return c.cgroup.Sub(e.Subs...)
	case e.Full, c.rec.Annotations[specconv.DelegateCgroup] != "":
		// A delegated cgroup cannot hold processes, and neither can the container's own if it has
		// created cgroups below.
		return c.cgroup.Beside(c.rec.Pid)
	}
	return c.cgroup, nil
}

// Enter implements Placement. An ordinary user's systemd moves the process into the unit, since the
// runtime may not.
func (u *unit) Enter(e Entering, o *setup.Options) (*Entrance, error) {
	if !u.moves() {
		return u.cgroupfs.Enter(e, o)
	}
	cgroup, err := u.cgroupFor(e)
	if err != nil {
		return nil, err
	}
	// A process that is moved while it waits can no longer be served once it is frozen.
	frozen, err := cgroup.Frozen()
	if err != nil {
		return nil, err
	}
	if frozen {
		return nil, cgroups.ErrFrozen
	}
	o.AwaitCgroup = true
	enter := func(pid int) error {
		if len(e.Subs) == 0 && u.cgroup.Divided() {
			if cgroup, err = u.cgroup.Beside(u.rec.Pid); err != nil {
				return err
			}
		}
		sub := u.cgroup.Below(cgroup)
		if subgroup := u.rec.Annotations[specconv.SystemdSubgroup]; subgroup != "" {
			sub = "/" + subgroup + sub
		}
		return attach(u.bus(), u.rec.Unit, sub, pid)
	}
	return &Entrance{EnterCgroup: enter, cgroup: &cgroups.Manager{}, first: u.rec.Pid, sub: len(e.Subs) > 0}, nil
}

// joinCgroups sets in the options that the process first joins the hierarchies of a cgroup, and
// returns the files for that.
func joinCgroups(cgroup *cgroups.Manager, hierarchies []string, o *setup.Options) []launch.Deferred {
	files := make([]launch.Deferred, 0, len(hierarchies)+2)
	for _, h := range hierarchies {
		o.JoinCgroups = append(o.JoinCgroups, setup.TasksOf(h))
		files = append(files, tasksOf(cgroup, h))
	}
	if o.JoinMemory {
		memory := tasksOf(cgroup, cgroup.HierarchyOf("memory"))
		memory.Name = setup.MemoryTasks
		files = append(files, memory)
	}
	return files
}

// tasksOf is the file by which a process joins a hierarchy of a cgroup.
func tasksOf(cgroup *cgroups.Manager, hierarchy string) launch.Deferred {
	return launch.Deferred{Name: setup.TasksOf(hierarchy), Open: func() (*os.File, error) { return cgroup.Tasks(hierarchy) }}
}
