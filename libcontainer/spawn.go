package libcontainer

import (
	"cmp"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/setup"
)

// A process comes into the cgroup in one of three ways:
//
//	joinCgroups  the cgroup is there when the process starts: it is born in cgroup2, and joins v1 hierarchies by descriptors, first of all
//	joinLate     v1 hierarchies are made while the process sets itself up: it joins them by their paths when the gate opens
//	awaits       systemd moves it into a unit, which the runtime may not do, or the runtime from there to a cgroup below (place.go)

// mayJoinLate reports whether the process can begin before its cgroup is made, which for v1 takes as long as half of the process's set-up: it
// has to find the paths of the host where they are, with the runtime's rights. A new cgroup namespace would show where it began.
// And where the cgroup was there, whether others are in it is to be known before anything is. In a PID namespace that is joined the process gives way
// to another one, for which the limit of processes must leave room until then (Tighten).
func (c *creation) mayJoinLate() bool {
	if c.unit != nil || c.found || len(c.cgroup.Joins()) == 0 {
		return false
	}
	mount, ok := c.bundle.Namespace(specs.MountNamespace)
	if !ok || mount.Path != "" {
		return false
	}
	if _, ok := c.bundle.Namespace(specs.UserNamespace); ok {
		return false
	}
	if pid, ok := c.bundle.Namespace(specs.PIDNamespace); ok && pid.Path != "" {
		return false
	}
	n, ok := c.bundle.Namespace(specs.CgroupNamespace)
	return !ok || n.Path != ""
}

// joinLate sets in the options how the process gets into the cgroup when that is made.
func (c *creation) joinLate(o *setup.Options) {
	for _, h := range c.cgroup.Joins() {
		o.DeferredCgroups = append(o.DeferredCgroups, setup.DeferredCgroup{Hierarchy: h, Tasks: c.cgroup.TasksPath(h)})
	}
	if o.JoinMemory {
		o.MemoryPath = c.cgroup.MemoryTasksPath()
	}
}

// spawnEarly starts the process on the forker, and makes the cgroup meanwhile.
func (c *creation) spawnEarly() error {
	if err := c.cgroup.CreateUnified(); err != nil {
		return inUse(err)
	}
	process := c.forker.Do(func() error {
		if err := c.forker.ResetAffinity(); err != nil {
			return err
		}
		return c.cgroup.SpawnEarly(c.process.Start)
	})
	err := c.makeCgroup()
	if err == nil {
		c.takeCgroup()
	}
	// It is to be over in any case. Without the cgroup there may be no place for it to be born in, which says less than why.
	if err := cmp.Or(err, <-process); err != nil {
		return err
	}
	return c.process.Unblock()
}

// spawn starts the process in its cgroup, on the forker. Where that is a unit it becomes one from here on, while the process sets itself up.
func (c *creation) spawn() error {
	if err := c.forker.ResetAffinity(); err != nil {
		return err
	}
	c.takeCgroup()
	if err := c.process.OpenDeferred(); err != nil {
		return err
	}
	if c.awaitsCgroup() {
		nowhere := cgroups.Manager{}
		return nowhere.Spawn(c.process.Start)
	}
	err := c.cgroup.SpawnOnly(c.process.Start)
	if err == nil && c.unit != nil {
		err = c.beginUnit(c.process.Pid())
	}
	return err
}

// joinCgroups sets in the options how the process gets into the cgroup, and returns the files that it takes.
func joinCgroups(cgroup *cgroups.Manager, hierarchies []string, o *setup.Options) []launch.Deferred {
	files := make([]launch.Deferred, 0, len(hierarchies)+2)
	for _, h := range hierarchies {
		o.JoinCgroups = append(o.JoinCgroups, setup.TasksOf(h))
		files = append(files, tasksOf(cgroup, h))
	}
	if o.JoinMemory {
		files = append(files, launch.Deferred{Name: setup.MemoryTasks, Open: cgroup.MemoryTasks})
	}
	return files
}

// tasksOf is the file by which a process joins a hierarchy of the cgroup.
func tasksOf(cgroup *cgroups.Manager, hierarchy string) launch.Deferred {
	return launch.Deferred{Name: setup.TasksOf(hierarchy), Open: func() (*os.File, error) { return cgroup.Tasks(hierarchy) }}
}
