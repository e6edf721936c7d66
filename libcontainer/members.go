package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/specconv"
)

// Where there is no cgroup, nothing lists a container's processes. They are found by a namespace that was made for the container, since nobody else is in
// that but who was sent there; and in a container that has none of its own, by descent from the first process, which does not find
// those whose parent has ended.

// processes lists the container's processes, sorted.
func (v *view) processes() ([]int, error) {
	if c := v.cgroup(); !c.None() {
		return c.Processes()
	}
	n := v.tellingNamespace()
	if n == nil {
		return v.descendants()
	}
	return inNamespace(namespaceFile(n.Type), n.Inode)
}

// signalAll sends a signal to all of the container's processes.
func (v *view) signalAll(sig unix.Signal) error {
	if c := v.cgroup(); !c.None() {
		return c.Kill(sig)
	}
	// How long to chase processes that fork faster than they are found.
	deadline := time.Now().Add(10 * time.Second)
	done := make(map[int]bool)
	for {
		pids, err := v.processes()
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return done[pid] })
		if len(pids) == 0 {
			return nil
		}
		if sig == unix.SIGKILL && len(pids) > 1 {
			// The others are found by it, perhaps.
			pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == v.rec.Pid })
		}
		if err := v.signalMembers(pids, sig); err != nil {
			return err
		}
		if sig != unix.SIGKILL {
			return nil
		}
		for _, pid := range pids {
			done[pid] = true
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("kill: processes fork faster than they are found: %v", pids)
		}
	}
}

// endMembers kills the processes of a container that has no cgroup and waits for their end, as far as the end of the first one does not do
// that.
func (v *view) endMembers() error {
	if !v.cgroup().None() || v.ownPidNamespace() || v.rec.Pid == 0 {
		return nil
	}
	pids, err := v.processes()
	if err != nil {
		return err
	}
	held := make(map[int]*os.File, len(pids))
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = os.NewFile(uintptr(fd), "pidfd")
		}
	}
	errs := []error{v.signalAll(unix.SIGKILL)}
	deadline := time.Now().Add(endLimit)
	for pid, f := range held {
		if errs[0] == nil {
			errs = append(errs, waitPidfd(f, pid, deadline))
		}
		f.Close()
	}
	return errors.Join(errs...)
}

// signalMembers signals processes that are still the container's when they are held by pidfds: their numbers are a moment old.
func (v *view) signalMembers(pids []int, sig unix.Signal) error {
	held := make(map[int]*os.File, len(pids))
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // else it has ended
			held[pid] = os.NewFile(uintptr(fd), "pidfd")
		}
	}
	still, err := v.processes()
	errs := []error{err}
	for _, pid := range still {
		if f := held[pid]; f != nil {
			if err := signalPidfd(f, sig); err != nil && !errors.Is(err, ErrNotRunning) {
				errs = append(errs, fmt.Errorf("kill process %d: %w", pid, err))
			}
		}
	}
	return errors.Join(errs...)
}

// tellingNamespace is a namespace that was made for the container and that all of its processes are in; nil when there is none.
func (v *view) tellingNamespace() *state.Namespace {
	for _, t := range [...]specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.MountNamespace, specs.CgroupNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace,
	} {
		for i := range v.rec.Namespaces {
			if n := &v.rec.Namespaces[i]; n.Type == t && n.Path == "" && n.Inode != 0 {
				return n
			}
		}
	}
	return nil
}

// noteNamespaces records which namespaces the container's process is in. An ordinary user may not look at one that is not dumpable, as is one
// that joins others' namespaces: see setup.
func noteNamespaces(rec *state.Record) error {
	for i := range rec.Namespaces {
		n := &rec.Namespaces[i]
		inode, err := namespaceOf(rec.Pid, namespaceFile(n.Type))
		if errors.Is(err, unix.EACCES) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s namespace of process %d: %w", n.Type, rec.Pid, err)
		}
		n.Inode = inode
	}
	return nil
}

// namespaceFile names the file of /proc/PID/ns for a type of namespaces.
func namespaceFile(t specs.LinuxNamespaceType) string {
	for _, k := range specconv.NamespaceKinds() {
		if k.Type == t {
			return k.Proc
		}
	}
	return string(t)
}

// namespaceOf gives the inode of a process's namespace.
func namespaceOf(pid int, file string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/"+file, &st)
	return st.Ino, err
}

// inNamespace lists the processes in a namespace, sorted. Dead ones are in none.
func inNamespace(file string, inode uint64) ([]int, error) {
	return allProcesses(func(pid int) bool {
		other, err := namespaceOf(pid, file)
		return err == nil && other == inode
	})
}

// allProcesses lists the processes that belong, sorted.
func allProcesses(belongs func(pid int) bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && belongs(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// descendants lists the first process and those that descend from it, sorted.
func (v *view) descendants() ([]int, error) {
	alive, err := state.Alive(v.rec.Pid, v.rec.StartTime)
	if err != nil || !alive {
		return nil, err
	}
	parents := make(map[int]int)
	pids, err := allProcesses(func(pid int) bool {
		p, err := state.Stat(pid)
		parents[pid] = p.Parent
		return err == nil && !p.Dead()
	})
	descends := func(pid int) bool {
		// No more steps than there are processes: a number that is used again meanwhile may close a circle.
		for range len(parents) {
			if pid == v.rec.Pid {
				return true
			}
			pid = parents[pid]
		}
		return false
	}
	return slices.DeleteFunc(pids, func(pid int) bool { return !descends(pid) }), err
}
