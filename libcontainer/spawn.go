package libcontainer

import (
	"cmp"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
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
		o.LateCgroups = append(o.LateCgroups, setup.LateCgroup{Hierarchy: h, Tasks: c.cgroup.TasksPath(h)})
	}
	if o.JoinMemory {
		o.MemoryPath = c.cgroup.MemoryTasksPath()
	}
}

// spawnEarly starts the process on the forker, and makes the cgroup meanwhile.
func (c *creation) spawnEarly() error {
	if err := c.cgroup.CreateBirthplace(); err != nil {
		return inUse(err)
	}
	process := c.forker.Do(func() error {
		if err := c.forker.ResetAffinity(); err != nil {
			return err
		}
		return c.cgroup.SpawnEarly(c.birth.start)
	})
	err := c.makeCgroup()
	if err == nil {
		c.takeCgroup()
	}
	// It is to be over in any case. Without the cgroup there may be no place for it to be born in, which says less than why.
	if err := cmp.Or(err, <-process); err != nil {
		return err
	}
	return c.openGate()
}

// spawn starts the process in its cgroup, on the forker. Where that is a unit it becomes one from here on, while the process sets itself up.
func (c *creation) spawn() error {
	if err := c.forker.ResetAffinity(); err != nil {
		return err
	}
	c.takeCgroup()
	if err := c.birth.openTasks(); err != nil {
		return err
	}
	if c.awaitsCgroup() {
		c.birth.enterCgroup = c.enterUnit
		nowhere := cgroups.Manager{}
		return nowhere.Spawn(c.birth.start)
	}
	err := c.cgroup.SpawnApart(c.birth.start)
	if err == nil && c.unit != nil {
		err = c.beginUnit(c.birth.proc.Pid)
	}
	return err
}

// A tasksFile is a file by which the process joins a cgroup. It need not be there yet when the process is prepared.
type tasksFile struct {
	name nsenter.FD
	open func() (*os.File, error)
	file *os.File // once it was opened
}

// joinCgroups sets in the options how the process gets into the cgroup, and returns the files that it takes.
func joinCgroups(cgroup *cgroups.Manager, hierarchies []string, o *setup.Options) []tasksFile {
	files := make([]tasksFile, 0, len(hierarchies)+2)
	for _, h := range hierarchies {
		o.JoinCgroups = append(o.JoinCgroups, setup.TasksOf(h))
		files = append(files, tasksOf(cgroup, h))
	}
	if o.JoinMemory {
		files = append(files, tasksFile{name: setup.MemoryTasks, open: cgroup.MemoryTasks})
	}
	return files
}

// tasksOf is the file by which a process joins a hierarchy of the cgroup.
func tasksOf(cgroup *cgroups.Manager, hierarchy string) tasksFile {
	return tasksFile{name: setup.TasksOf(hierarchy), open: func() (*os.File, error) { return cgroup.Tasks(hierarchy) }}
}

// openTasks opens the files by which the process joins its cgroup, which is there by now.
func (b *birth) openTasks() error {
	for _, list := range [...][]tasksFile{b.inside, b.tasks} {
		for i := range list {
			t := &list[i]
			f, err := t.open()
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			b.owned = append(b.owned, f)
			t.file = f
			if err := b.launch.Give(string(t.name), f); err != nil {
				return err
			}
		}
	}
	return nil
}
