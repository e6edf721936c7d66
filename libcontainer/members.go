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

	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/specconv"
)

// Where there is no cgroup, nothing lists a container's processes. They are the ones that are in all namespaces that were made for the container, if a
// mount or a PID namespace is among them: containers that share others with it, as those of a pod, are not in these. Without a PID namespace of its own they are
// also those that descend from the first process. In one of its own, that adopts what others leave behind who have joined it.
//
// A process that has left these namespaces, or that had none of them to begin with, is lost when its parent ends.

// processes lists the container's processes, sorted.
func (v *view) processes() ([]int, error) {
	if c := v.cgroup(); !c.None() {
		return c.Processes()
	}
	made := v.madeNamespaces()
	descends := func(int) bool { return false }
	if !v.ownPidNamespace() {
		var err error
		if descends, err = v.descent(); err != nil {
			return nil, err
		}
	}
	return allProcesses(func(pid int) bool { return inNamespaces(pid, made) || descends(pid) })
}

// signalAll sends a signal to all of the container's processes.
func (v *view) signalAll(sig unix.Signal) error {
	if c := v.cgroup(); !c.None() {
		return c.Kill(sig)
	}
	if sig == unix.SIGKILL {
		return v.killAll()
	}
	pids, err := v.processes()
	if err != nil {
		return err
	}
	return v.signalMembers(pids, sig)
}

// killAll stops all processes before it kills them: those that are stopped make no others, and the parents by which others
// are found are still there.
func (v *view) killAll() error {
	stopped := make(map[int]bool)
	for deadline := time.Now().Add(chaseLimit); ; {
		pids, err := v.processes()
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return stopped[pid] })
		late := time.Now().After(deadline)
		if len(fresh) == 0 || late {
			err := v.signalMembers(pids, unix.SIGKILL)
			if late {
				err = errors.Join(err, timeout.Errorf("kill: processes fork faster than they are found: %v", fresh))
			}
			return err
		}
		if err := v.signalMembers(fresh, unix.SIGSTOP); err != nil {
			return err
		}
		for _, pid := range fresh {
			stopped[pid] = true
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
		if f, err := sys.OpenPidfd(pid); err == nil {
			held[pid] = f
		}
	}
	errs := []error{v.signalAll(unix.SIGKILL)}
	deadline := time.Now().Add(launch.EndLimit)
	for pid, f := range held {
		if errs[0] == nil {
			errs = append(errs, launch.AwaitEnd(f, pid, deadline))
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
		if f, err := sys.OpenPidfd(pid); err == nil { // else it has ended
			held[pid] = f
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

// madeNamespaces are the namespaces that were made for the container; nil when they do not tell its processes from others.
func (v *view) madeNamespaces() []state.Namespace {
	var made []state.Namespace
	tells := false
	for _, n := range v.rec.Namespaces {
		if n.Path == "" && n.Inode != 0 {
			made = append(made, n)
			tells = tells || n.Type == specs.MountNamespace || n.Type == specs.PIDNamespace
		}
	}
	if !tells {
		return nil
	}
	return made
}

// inNamespaces reports whether a process is in all of these namespaces. A dead one is in none.
func inNamespaces(pid int, list []state.Namespace) bool {
	for i := range list {
		inode, err := namespaceOf(pid, namespaceFile(list[i].Type))
		if err != nil || inode != list[i].Inode {
			return false
		}
	}
	return len(list) > 0
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

// descent returns what reports whether a process is the first one, or descends from it.
func (v *view) descent() (func(pid int) bool, error) {
	none := func(int) bool { return false }
	alive, err := sys.Alive(v.rec.Pid, v.rec.StartTime)
	if err != nil || !alive {
		return none, err
	}
	parents := make(map[int]int)
	_, err = allProcesses(func(pid int) bool {
		if p, err := sys.Stat(pid); err == nil && !p.Dead() {
			parents[pid] = p.Parent
		}
		return false
	})
	return func(pid int) bool {
		// No more steps than there are processes: a number that is used again meanwhile may close a circle.
		for range len(parents) {
			parent, known := parents[pid]
			switch {
			case !known:
				return false
			case pid == v.rec.Pid:
				return true
			}
			pid = parent
		}
		return false
	}, err
}
