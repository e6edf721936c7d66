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

// Spawn calls fork, which starts the first process of a container. Tighten must then write the
// limits that had to leave room for that: on another thread if this one shares its mount namespace,
// and so its root, with the process, which is about to change it.
//
// How the process gets into its cgroup depends on the hierarchy. Neither way writes a PID to
// cgroup.procs, which waits for an RCU grace period:
//
//	cgroup2  it starts there: unifiedFD is for CLONE_INTO_CGROUP (syscall.SysProcAttr.CgroupFD),
//	         or -1 where there is no cgroup2. Spawn closes it.
//	v1       it moves itself, before all else, by writing "0" to the files that [Manager.Joins]
//	         names. A single-threaded process that moves only itself takes no lock that waits.
//
// A cgroup2 that existed before the container may have been killed once (cgroup.kill). Since 6.14
// the kernel kills every process that is cloned into such a cgroup, because it compares the kill
// counters of the parent's and the child's cgroup. There the process moves itself, too, and waits.
//
// The error is ErrFrozen if the cgroup is frozen.
func (m *Manager) Spawn(fork func(unifiedFD int) error) error {
	if frozen, err := m.Frozen(); err != nil {
		return err
	} else if frozen {
		return ErrFrozen
	}
	return startIn(m.startDirectory(), fork)
}

// startDirectory is the cgroup2 directory in which a process starts, "" for none.
func (m *Manager) startDirectory() string {
	if m.unified.found {
		return ""
	}
	return m.home()
}

// unifiedName is the name of cgroup2 in Joins.
const unifiedName = "cgroup2"

// An Entry says how a process enters the existing cgroup of a container, by hierarchies as
// [Manager.Joins] names them.
type Entry struct {
	First []string // those that the process joins before all else
	// Last are those that it joins when it only has to enter the PID namespace and execute its
	// program.
	Last   []string
	Inside []string // those that it joins after it has entered the PID namespace, in this order
}

// Entry says how a process enters the cgroup. full means that the limit of processes was reached,
// by a process that was to start in cgroup2, or by the second process, in which the first one
// continues in a PID namespace. Then the second process starts outside and moves in, because the
// kernel lets a process move into a full cgroup. frozen means that the cgroup is frozen: the
// process joins the freezing hierarchy last, so that it does not stop earlier.
func (m *Manager) Entry(frozen, full bool) Entry {
	var e Entry
	limiter, freezer := m.HierarchyOf("pids"), m.HierarchyOf("freezer")
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

// HierarchyOf names the hierarchy that has a controller, as Joins does, "" if there is none.
func (m *Manager) HierarchyOf(controller string) string {
	f, _ := m.controllerDirectory(controller)
	switch f {
	case nil:
		return ""
	case &m.unified:
		return unifiedName
	}
	return f.name()
}

// SpawnInto calls fork for a process that enters the cgroup as described by e: it starts in cgroup2
// unless it joins that itself. The error is ErrFull if cgroup2 has reached its limit of processes;
// Entry has an alternative.
func (m *Manager) SpawnInto(e Entry, fork func(unifiedFD int) error) error {
	if slices.Contains(e.First, unifiedName) || slices.Contains(e.Last, unifiedName) || slices.Contains(e.Inside, unifiedName) {
		return fork(-1)
	}
	err := startIn(m.unified.dir, fork)
	if errors.Is(err, unix.EAGAIN) && m.HierarchyOf("pids") == unifiedName {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// SpawnEarly calls fork as Spawn does, between CreateUnified and the end of Create, which may run
// on another thread. The process must wait for that end before it joins v1 hierarchies.
func (m *Manager) SpawnEarly(fork func(unifiedFD int) error) error {
	return startIn(m.unified.dir, fork)
}

// SpawnCharged calls fork for a process whose memory is charged to the cgroup. join is the file to
// which the process must then write "0", nil if it was started in the cgroup, or if no cgroup is
// charged for memory. The cgroup's limit of processes does not prevent it.
func (m *Manager) SpawnCharged(fork func(unifiedFD int) error) (join *os.File, err error) {
	switch f, v := m.controllerDirectory("memory"); {
	case f == nil:
		return nil, fork(-1)
	case v == v1:
		if err := fork(-1); err != nil {
			return nil, err
		}
		return m.Tasks(f.name())
	}
	if dir := m.startDirectory(); dir != "" {
		if err := startIn(dir, fork); !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
	if err := fork(-1); err != nil {
		return nil, err
	}
	return m.Tasks(unifiedName)
}

func startIn(dir string, fork func(unifiedFD int) error) error {
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

// Joins names the hierarchies that a process must join by itself: v1's by their controllers, as
// "cpu,cpuacct", or as "name=systemd". The freezer, in which it may stop, is the last. After
// JoinMemoryLater, memory is not among them.
func (m *Manager) Joins() []string {
	names := make([]string, 0, len(m.legacy)+1)
	if m.unified.found {
		names = append(names, unifiedName)
	}
	for i := range m.legacy {
		if f := &m.legacy[i]; !m.memoryLater || !f.has("memory") {
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

// TasksPath returns the path of the file that Tasks opens, "" if there is no such hierarchy.
func (m *Manager) TasksPath(name string) string {
	if name == unifiedName && m.unified.dir != "" {
		return m.home() + "/cgroup.procs"
	}
	for i := range m.legacy {
		if f := &m.legacy[i]; f.name() == name {
			return f.dir + "/tasks"
		}
	}
	return ""
}

// name is the hierarchy's name in /proc/PID/cgroup.
func (f *directory) name() string { return strings.Join(f.keys, ",") }
