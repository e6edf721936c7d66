package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// Spawn calls fork, which starts the first process of a container; then it writes the limits that had to leave room for that.
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
// errors.Is(err, ErrFrozen): the cgroup is frozen. When fork succeeded and Spawn fails none the less (a limit
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
	return bornIn(m.birthFolder(), fork)
}

// birthFolder is the cgroup2 folder that a process is born in, "" for none.
func (m *Manager) birthFolder() string {
	if m.unified.found {
		return ""
	}
	return m.home()
}

// unifiedName is the name of cgroup2 in Joins.
const unifiedName = "cgroup2"

// An Entry says how a process enters the cgroup of a container that is there already, by hierarchies as [Manager.Joins] names them.
type Entry struct {
	First  []string // those that the process joins before all else
	Last   []string // those that it joins when it has nothing left to do but to enter the PID namespace and to execute its program
	Inside []string // those that it joins after it has entered the PID namespace, in this order
}

// Entry says how a process enters the cgroup. full says that the limit of processes has refused one: either it was to
// be born in cgroup2, or it was the second process, by which the first one enters a PID namespace. Then the second process is
// born outside and moves in, for the kernel lets a process move into a full cgroup. frozen says that the cgroup is frozen: the
// process joins what freezes it last of all, so that it does not stop before.
func (m *Manager) Entry(frozen, full bool) Entry {
	var e Entry
	limiter, freezer := m.hierarchyOf("pids"), m.hierarchyOf("freezer")
	if full && limiter != "" {
		e.Inside = []string{limiter}
	}
	switch {
	case !frozen || full && freezer == limiter:
	case full:
		e.Inside = append(e.Inside, freezer)
	default:
		e.Last = []string{freezer}
	}
	for _, name := range m.Joins() {
		if !slices.Contains(e.Last, name) && !slices.Contains(e.Inside, name) {
			e.First = append(e.First, name)
		}
	}
	return e
}

// hierarchyOf names the hierarchy that has a controller, "" if there is none.
func (m *Manager) hierarchyOf(controller string) string {
	f, _ := m.place(controller)
	switch f {
	case nil:
		return ""
	case &m.unified:
		return unifiedName
	}
	return f.name()
}

// SpawnInto calls fork for a process that enters the cgroup as e says: it is born in cgroup2 if it does not join that
// by itself. errors.Is(err, ErrFull): cgroup2 has as many processes as its limit lets it; Entry has another way.
func (m *Manager) SpawnInto(e Entry, fork func(unifiedFD int) error) error {
	if slices.Contains(e.First, unifiedName) || slices.Contains(e.Last, unifiedName) || slices.Contains(e.Inside, unifiedName) {
		return fork(-1)
	}
	err := bornIn(m.unified.dir, fork)
	if errors.Is(err, unix.EAGAIN) && m.hierarchyOf("pids") == unifiedName {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// SpawnEarly calls fork as Spawn does, between CreateBirthplace and the end of Create, which may run on another thread. The process has to wait
// for that end before it joins v1 hierarchies.
func (m *Manager) SpawnEarly(fork func(unifiedFD int) error) error {
	return bornIn(m.unified.dir, fork)
}

// SpawnCharged calls fork for a process whose memory is to be charged to the cgroup. join is what the process then has to write "0" to,
// nil if it was born in the cgroup, or if no cgroup is charged for memory. The cgroup's limit of processes does not refuse it.
func (m *Manager) SpawnCharged(fork func(unifiedFD int) error) (join *os.File, err error) {
	switch f, v := m.place("memory"); {
	case f == nil:
		return nil, fork(-1)
	case v == v1:
		if err := fork(-1); err != nil {
			return nil, err
		}
		return sys.Open(f.dir+"/tasks", unix.O_WRONLY)
	}
	if dir := m.birthFolder(); dir != "" {
		if err := bornIn(dir, fork); !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
	if err := fork(-1); err != nil {
		return nil, err
	}
	return m.Tasks(unifiedName)
}

// Limits reports whether the cgroup limits processes.
func (m *Manager) Limits() bool { return m.hierarchyOf("pids") != "" }

func bornIn(dir string, fork func(unifiedFD int) error) error {
	if dir == "" {
		return fork(-1)
	}
	fd, err := sys.OpenFd(dir, unix.O_RDONLY|unix.O_DIRECTORY)
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

// Tasks opens the file by which a process joins a hierarchy that Joins names.
func (m *Manager) Tasks(name string) (*os.File, error) {
	path := m.TasksPath(name)
	if path == "" {
		return nil, fmt.Errorf("cgroup: no hierarchy %q", name)
	}
	return sys.Open(path, unix.O_WRONLY)
}

// TasksPath gives the path of what Tasks opens, "" if there is no such hierarchy.
func (m *Manager) TasksPath(name string) string {
	if name == unifiedName && m.unified.dir != "" {
		return m.home() + "/cgroup.procs"
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

// name is the hierarchy's in /proc/PID/cgroup.
func (f *folder) name() string { return strings.Join(f.keys, ",") }
