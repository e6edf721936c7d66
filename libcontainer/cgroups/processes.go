package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// killLimit bounds how long Kill chases processes that fork faster than it finds them.
const killLimit = 10 * time.Second

// Processes returns the PIDs of all processes in the cgroup and below, in any of the hierarchies,
// sorted. It omits processes outside the caller's PID namespace.
func (m *Manager) Processes() ([]int, error) {
	var pids []int
	for _, f := range m.ours() {
		more, err := m.idsIn(f.dir, processes)
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Holds reports whether a process is in the cgroup in which the container's processes start,
// according to the hierarchy in which systemd distinguishes units: name=systemd of v1 if it exists,
// otherwise cgroup2.
func (m *Manager) Holds(pid int) (bool, error) {
	dir := m.home()
	if f := m.v1("name=systemd"); f != nil {
		dir = f.dir
	}
	pids, err := readIDs(dir + "/cgroup.procs")
	return slices.Contains(pids, pid), err
}

// Beside returns a manager that spawns into the cgroup2 directory of a process, which is the
// cgroup's own or one below it.
func (m *Manager) Beside(pid int) (*Manager, error) {
	layout, err := layoutOf(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	if _, ok := below(m.unified.dir, layout.UnifiedOwn); !ok || m.unified.dir == "" {
		return nil, fmt.Errorf("process %d is in %s, which is not below %s", pid, layout.UnifiedOwn, m.unified.dir)
	}
	beside := m.clone()
	beside.unified.dir = layout.UnifiedOwn
	return beside, nil
}

// Enter moves a process into those of the cgroup's v1 directories that it is not in, and makes
// missing ones. systemd maintains its units' cgroups in the hierarchies that it needs for them, and
// removes others, those with the processes of a new unit first.
func (m *Manager) Enter(pid int) error {
	if len(m.legacy) == 0 {
		return nil
	}
	layout, err := layoutOf(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	now := layout.OwnPaths()
	for i := range m.legacy {
		f := &m.legacy[i]
		if now[f.keys[0]] == f.dir || m.memoryLater && f.has("memory") {
			continue
		}
		if unix.Access(f.dir, unix.F_OK) == unix.ENOENT {
			if err := m.makeDirectory(f); err != nil {
				return err
			}
		}
		f.held = true
		if err := writeFile(f.dir+"/cgroup.procs", itoa(int64(pid))); err != nil {
			return fmt.Errorf("write %d to %s/cgroup.procs: %w", pid, f.dir, err)
		}
	}
	return nil
}

// Divided reports whether the cgroup2 directory enables controllers for its children, and so
// accepts no process.
func (m *Manager) Divided() bool {
	given, err := controllers(m.unified.dir, "cgroup.subtree_control")
	return err == nil && len(given) > 0
}

// Below returns the path of another manager's cgroup2 directory below this one's, "/a"; "" for the
// same.
func (m *Manager) Below(other *Manager) string {
	return strings.TrimPrefix(other.unified.dir, m.unified.dir)
}

// processes is the list of a cgroup's processes; v1 also has "tasks", the list of its threads.
const processes = "cgroup.procs"

// idsIn returns the IDs in a list of a directory and those below it. A directory that is gone has
// none.
func (m *Manager) idsIn(dir, list string) ([]int, error) {
	ids, err := readIDs(dir + "/" + list)
	if err != nil {
		return nil, err
	}
	err = m.below(dir, func(sub string) error {
		more, err := m.idsIn(sub, list)
		ids = append(ids, more...)
		return err
	})
	return ids, err
}

// readIDs reads a list of PIDs or thread IDs. Those outside the runtime's PID namespace read 0 and
// are left out.
func readIDs(file string) ([]int, error) {
	// A threaded cgroup2 only lists its threads; its processes are listed in the domain above.
	text, _, err := readPresent(file)
	var ids []int
	for line := range strings.FieldsSeq(text) {
		if id, err := strconv.Atoi(line); err == nil && id > 0 {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// below calls f for each directory in dir, except those of other containers.
func (m *Manager) below(dir string, f func(sub string) error) error {
	return subdirectories(dir, func(sub string) error {
		if m.foreign(sub) {
			return nil
		}
		return f(sub)
	})
}

// longPath is the length above which directories below a path are opened by a descriptor: the names
// of a directory and of a file still fit into PATH_MAX.
const longPath = unix.PathMax / 2

// subdirectories calls f for each directory in dir.
func subdirectories(dir string, f func(sub string) error) error {
	// A kernfs directory has two links and one more for each subdirectory, which saves reading some
	// 60 names.
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Nlink == 2 {
		return nil
	}
	if len(dir) > longPath {
		// A container that may make cgroups can nest them deeper than the longest path.
		fd, err := sys.OpenFd(dir, unix.O_PATH|unix.O_DIRECTORY)
		if err == unix.ENOENT || err == unix.ENODEV {
			return nil
		}
		if err != nil {
			return &os.PathError{Op: "open cgroup", Path: dir, Err: err}
		}
		defer unix.Close(fd)
		dir = sys.FdPath(fd)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := f(dir + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Kill sends sig to every process in the cgroup and below, including those that are forked
// meanwhile, but not to those of other containers below. It does not wait for their exit; see
// [Manager.WaitEmpty]. SIGKILL also reaches frozen processes, and thaws a frozen v1 cgroup, since
// processes could not exit in it.
func (m *Manager) Kill(sig unix.Signal) error {
	killing := sig == unix.SIGKILL
	if f := &m.unified; killing && f.dir != "" && m.mine(f) && !m.foreignBelow(f.dir) {
		// Since kernel 5.14. No fork escapes it; the rest is for processes that are only in a v1
		// hierarchy.
		if err := writeFile(f.dir+"/cgroup.kill", "1"); err != nil && !absent(err) {
			return fmt.Errorf("write 1 to %s/cgroup.kill: %w", f.dir, err)
		}
	}
	err := m.signalAll(sig, killing)
	if killing {
		err = errors.Join(err, m.ThawKilled())
	}
	return err
}

// foreignBelow reports whether there is a cgroup of another container below a directory.
func (m *Manager) foreignBelow(dir string) bool {
	if m.owner == nil {
		return false
	}
	found := false
	subdirectories(dir, func(sub string) error {
		found = found || m.foreign(sub) || m.foreignBelow(sub)
		return nil
	})
	return found
}

// signalAll signals every process once. When killing, it freezes the cgroup from the second round
// on: a process with a pending SIGKILL does not fork any more, so the rounds come to an end.
func (m *Manager) signalAll(sig unix.Signal, killing bool) error {
	deadline := time.Now().Add(killLimit)
	signalled := make(map[int]bool)
	pids, err := m.Processes()
	for round := 0; err == nil; round++ {
		fresh := slices.DeleteFunc(pids, func(pid int) bool { return signalled[pid] })
		if len(fresh) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return timeout.Errorf("kill: processes fork faster than they are found: %v", fresh)
		}
		if killing && round > 0 {
			// This only helps. Kill thaws v1's at the end; SIGKILL gets through cgroup2's, which
			// may have other containers below.
			if f := m.v1("freezer"); f != nil && m.mine(f) {
				writeFile(f.dir+"/freezer.state", "FROZEN")
			} else if f := &m.unified; m.mine(f) {
				writeFile(f.dir+"/cgroup.freeze", "1")
				defer writeFile(f.dir+"/cgroup.freeze", "0")
			}
		}
		if pids, err = m.signalSome(fresh, sig, signalled); err != nil {
			return err
		}
		if !killing {
			return nil
		}
	}
	return err
}

// signalSome signals the listed processes and returns those that are in the cgroup by then. A
// listed PID may already belong to an unrelated process. So all are pinned by pidfds first, and
// then looked up in the cgroup again: a process listed under that PID afterwards is the pinned one,
// or that is dead.
func (m *Manager) signalSome(pids []int, sig unix.Signal, signalled map[int]bool) ([]int, error) {
	type pinned struct{ pid, fd int }
	var pins []pinned
	defer func() {
		for _, p := range pins {
			unix.Close(p.fd)
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		switch err {
		case nil:
			pins = append(pins, pinned{pid, fd})
			continue
		case unix.ESRCH, unix.EINVAL: // gone
			signalled[pid] = true
			continue
		}
		if len(pins) > 0 {
			break // the next round signals the rest, with descriptors that are free again
		}
		return nil, fmt.Errorf("kill process %d: pidfd_open: %w", pid, err)
	}
	now, err := m.Processes()
	if err != nil {
		return nil, err
	}
	for _, p := range pins {
		if _, member := slices.BinarySearch(now, p.pid); !member {
			continue
		}
		if err := unix.PidfdSendSignal(p.fd, sig, nil, 0); err != nil && err != unix.ESRCH {
			return nil, fmt.Errorf("kill process %d: %w", p.pid, err)
		}
		signalled[p.pid] = true
	}
	return now, nil
}
