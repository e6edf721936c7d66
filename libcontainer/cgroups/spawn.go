package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/rawfile"
)

// Spawn calls fork, which starts a process of the container; then it writes the limits that had to leave room for that.
//
// How the process gets into its cgroup depends on the hierarchy. None of both ways writes a process id into cgroup.procs, which waits
// for an RCU grace period:
//
//	cgroup2  it is born there: unifiedFD is for CLONE_INTO_CGROUP (syscall.SysProcAttr.CgroupFD), or -1 where there is no
//	         cgroup2. Spawn closes it.
//	v1       it moves itself, before all else, by writing "0" to the files that [Manager.Joins] names. A process of one thread that
//	         moves itself alone takes no lock that waits.
//
// A cgroup2 that was there before the container may have been killed once (cgroup.kill). Since 6.14 the kernel kills whatever is born in such a one, for
// it compares how often that was done to the cgroups of parent and child. There the process moves itself, too, and waits.
//
// If fork fails with EAGAIN since the container has as many processes as pids.limit lets it, it is called again with some room made. The
// room lasts until it returns: if the process that it starts clones itself once more (to enter a PID namespace), fork returns
// after that at best.
//
// errors.Is(err, ErrFrozen): the cgroup is frozen; see [Manager.SpawnFrozen]. When fork succeeded and Spawn fails none the less (a limit
// could not be written), the process is there, and the caller's to kill.
func (m *Manager) Spawn(fork func(unifiedFD int) error) error {
	if err := m.SpawnApart(fork); err != nil {
		return err
	}
	return m.Tighten()
}

// SpawnApart is Spawn without the limits, which Tighten writes then, on another thread: for one that shares its mount namespace with the process, and so
// its root, which the process is about to change.
func (m *Manager) SpawnApart(fork func(unifiedFD int) error) error {
	frozen, err := m.Frozen()
	if err != nil {
		return err
	}
	if frozen {
		return ErrFrozen
	}
	return m.spawn(m.birthFolder(), fork)
}

// birthFolder is the cgroup2 folder that a process is born in, "" for none.
func (m *Manager) birthFolder() string {
	if m.unified.found {
		return ""
	}
	return m.unified.dir
}

// unifiedName is the name of cgroup2 in Joins.
const unifiedName = "cgroup2"

// SpawnFrozen is Spawn for a paused container (exec --ignore-paused): the process is born outside of the freezer, so that it does not
// stop before its exec. It has to join that by itself, right before it executes its program, by writing "0" to what FreezerTasks
// gives, and not by the freezer's file of Joins.
func (m *Manager) SpawnFrozen(fork func(unifiedFD int) error) error {
	dir := m.birthFolder()
	if m.v1("freezer") == nil {
		dir = ""
	}
	if err := m.spawn(dir, fork); err != nil {
		return err
	}
	return m.Tighten()
}

// SpawnEarly calls fork as Spawn does, between CreateBirthplace and the end of Create, which may run on another thread. The process has to wait
// for that end before it joins v1 hierarchies.
func (m *Manager) SpawnEarly(fork func(unifiedFD int) error) error {
	return bornIn(m.unified.dir, fork)
}

// spawn calls fork for a process that is born in a cgroup2 folder, "" for the caller's.
func (m *Manager) spawn(dir string, fork func(unifiedFD int) error) error {
	err := bornIn(dir, fork)
	if errors.Is(err, unix.EAGAIN) {
		err = m.withRoom(func() error { return bornIn(dir, fork) }, err)
	}
	return err
}

func bornIn(dir string, fork func(unifiedFD int) error) error {
	if dir == "" {
		return fork(-1)
	}
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("open cgroup %s: %w", dir, err)
	}
	defer unix.Close(fd)
	return fork(fd)
}

// Joins names the hierarchies that a process has to join by itself: v1's by their controllers, as "cpu,cpuacct", or as "name=systemd". The
// freezer, in which it may stop, is the last. After JoinMemoryLater, memory is not among them.
func (m *Manager) Joins() []string {
	names := make([]string, 0, len(m.folders)+1)
	if m.unified.found {
		names = append(names, unifiedName)
	}
	for i := range m.folders {
		if f := &m.folders[i]; !m.memoryLater || !f.has("memory") {
			names = append(names, f.name())
		}
	}
	return names
}

// JoinsUnfrozen is Joins without the freezer: see SpawnFrozen.
func (m *Manager) JoinsUnfrozen() []string {
	freezer := unifiedName
	if f := m.v1("freezer"); f != nil {
		freezer = f.name()
	}
	return slices.DeleteFunc(m.Joins(), func(n string) bool { return n == freezer })
}

// Tasks opens the file by which a process joins a hierarchy that Joins names.
func (m *Manager) Tasks(name string) (*os.File, error) {
	path := m.TasksPath(name)
	if path == "" {
		return nil, fmt.Errorf("cgroup: no hierarchy %q", name)
	}
	return rawfile.Open(path, unix.O_WRONLY)
}

// TasksPath gives the path of what Tasks opens, "" if there is no such hierarchy.
func (m *Manager) TasksPath(name string) string {
	if name == unifiedName && m.unified.dir != "" {
		return m.unified.dir + "/cgroup.procs"
	}
	i := slices.IndexFunc(m.folders, func(f folder) bool { return f.name() == name })
	if i < 0 {
		return ""
	}
	return m.folders[i].dir + "/tasks"
}

// MemoryTasksPath gives the path of what MemoryTasks opens, "" if there is no memory hierarchy.
func (m *Manager) MemoryTasksPath() string {
	if f := m.v1("memory"); f != nil {
		return f.dir + "/tasks"
	}
	return ""
}

// FreezerTasks opens the file by which a process joins the cgroup that Freeze freezes.
func (m *Manager) FreezerTasks() (*os.File, error) {
	file := m.unified.dir + "/cgroup.procs"
	if f := m.v1("freezer"); f != nil {
		file = f.dir + "/tasks"
	}
	return rawfile.Open(file, unix.O_WRONLY)
}

// name is the hierarchy's in /proc/PID/cgroup.
func (f *folder) name() string { return strings.Join(f.keys, ",") }
