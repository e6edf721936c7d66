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

// Processes gives the pids of all processes in the cgroup and below, in any of the hierarchies, sorted. Ones outside of the
// caller's PID namespace are left out.
func (m *Manager) Processes() ([]int, error) {
	var pids []int
	err := m.ours(func(f *folder) error { return m.members(f.dir, &pids) })
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// Holds reports whether a process is where the container's processes begin, going by the hierarchy that systemd tells units apart in: name=systemd of v1 where
// there is one, otherwise cgroup2.
func (m *Manager) Holds(pid int) (bool, error) {
	dir := m.home()
	if f := m.v1("name=systemd"); f != nil {
		dir = f.dir
	}
	pids, err := readIDs(dir + "/cgroup.procs")
	return slices.Contains(pids, pid), err
}

// Beside gives the manager that spawns into the cgroup2 folder which a process is in, the cgroup's own or one below it.
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

// Enter puts a process into those of the cgroup's v1 folders that it is not in, and makes them where they are missing: systemd keeps units apart in
// the hierarchies that it needs for them, and takes what it does not need away, the processes of a new unit first.
func (m *Manager) Enter(pid int) error {
	if len(m.folders) == 0 {
		return nil
	}
	layout, err := layoutOf(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	now := layout.OwnPaths()
	for i := range m.folders {
		f := &m.folders[i]
		if now[f.keys[0]] == f.dir || m.memoryLater && f.has("memory") {
			continue
		}
		if unix.Access(f.dir, unix.F_OK) == unix.ENOENT {
			if err := m.makeFolder(f); err != nil {
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

// Divided reports whether the cgroup2 folder gives controllers to those below it, and so takes no process.
func (m *Manager) Divided() bool {
	given, err := controllers(m.unified.dir, "cgroup.subtree_control")
	return err == nil && len(given) > 0
}

// Below gives the path of another's cgroup2 folder below this one's, "/a"; "" for the same.
func (m *Manager) Below(other *Manager) string {
	return strings.TrimPrefix(other.unified.dir, m.unified.dir)
}

// members adds the processes of a folder and those below it. A folder that is gone has none.
func (m *Manager) members(dir string, pids *[]int) error {
	procs, err := readIDs(dir + "/cgroup.procs")
	if err != nil {
		return err
	}
	*pids = append(*pids, procs...)
	return m.below(dir, func(sub string) error { return m.members(sub, pids) })
}

// threads adds the thread ids of a v1 folder and those below it.
func (m *Manager) threads(dir string, tids *[]int) error {
	tasks, err := readIDs(dir + "/tasks")
	if err != nil {
		return err
	}
	*tids = append(*tids, tasks...)
	return m.below(dir, func(sub string) error { return m.threads(sub, tids) })
}

// readIDs reads a list of pids or thread ids. Ones outside of our PID namespace read 0 and are left out.
func readIDs(file string) ([]int, error) {
	text, err := readFile(file)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENODEV, // the cgroup is gone
		unix.EOPNOTSUPP: // a threaded cgroup2 shows its threads only; its processes show in the domain above
		return nil, nil
	default:
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var ids []int
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if id, err := strconv.Atoi(line); err == nil && id > 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// below calls f for each folder in dir but those of other containers.
func (m *Manager) below(dir string, f func(sub string) error) error {
	return subfolders(dir, func(sub string) error {
		if m.foreign(sub) {
			return nil
		}
		return f(sub)
	})
}

// longPath is how long a path gets before folders below are reached by a descriptor: the names of a folder and of a file still fit into PATH_MAX.
const longPath = unix.PathMax / 2

// subfolders calls f for each folder in dir.
func subfolders(dir string, f func(sub string) error) error {
	// A kernfs folder has two links and one more for each folder in it, which spares reading some 60 names.
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Nlink == 2 {
		return nil
	}
	if len(dir) > longPath {
		// A container that may make cgroups can make them deeper than any path is long.
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

// Kill sends sig to every process in the cgroup and below, ones that are forked meanwhile included, but not to those of other containers below. It does
// not wait for their end; see [Manager.WaitEmpty]. SIGKILL reaches frozen processes too, and thaws a frozen v1 cgroup, since in
// there none could die.
func (m *Manager) Kill(sig unix.Signal) error {
	killing := sig == unix.SIGKILL
	if f := &m.unified; killing && f.dir != "" && m.mine(f) && !m.foreignBelow(f.dir) {
		// Since kernel 5.14. Nothing that forks escapes it; the rest is for processes that are in a v1 hierarchy only.
		if err := writeFile(f.dir+"/cgroup.kill", "1"); err != nil && err != unix.ENOENT && err != unix.ENODEV && err != unix.EOPNOTSUPP {
			return fmt.Errorf("write 1 to %s/cgroup.kill: %w", f.dir, err)
		}
	}
	err := m.signalAll(sig, killing)
	if killing {
		err = errors.Join(err, m.ThawKilled())
	}
	return err
}

// foreignBelow reports whether there is a cgroup of another container below a folder.
func (m *Manager) foreignBelow(dir string) bool {
	if m.owner == nil {
		return false
	}
	found := false
	subfolders(dir, func(sub string) error {
		found = found || m.foreign(sub) || m.foreignBelow(sub)
		return nil
	})
	return found
}

// signalAll signals every process once. While killing it holds the cgroup by the freezer from the second round on: a process that has
// SIGKILL pending does not fork any more, so that the rounds come to an end.
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
			// Only a help. Kill thaws v1's at the end; SIGKILL gets through cgroup2's, which may have others below.
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

// signalSome signals the listed processes and returns those that are in the cgroup by then. The pids are a moment old: one of
// them may belong to a stranger by now. So all are pinned by pidfds first, and then looked for in the cgroup again: who is
// listed under that pid afterwards is the pinned process, or that is dead.
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
			break // the rest comes in the next round, with descriptors that are free again
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
