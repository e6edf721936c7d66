package placement

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/specconv"
)

// noCreation is the place of a new container that has no cgroup.
type noCreation struct{ base }

func newNone(b base) (Creation, error) { return &noCreation{b}, b.checkBelow(nil) }

// Check implements Creation: what is not applied is only a warning.
func (n *noCreation) Check() []error {
	n.warn()
	return nil
}

// warn says which resources are not applied.
func (n *noCreation) warn() {
	r := n.resources()
	if r == nil {
		return
	}
	var names []string
	for _, s := range [...]struct {
		name string
		set  bool
	}{
		{"devices", len(r.Devices) > 0 && n.notes == nil}, {"memory", r.Memory != nil}, {"cpu", r.CPU != nil}, {"pids", r.Pids != nil},
		{"blockIO", r.BlockIO != nil}, {"hugepageLimits", len(r.HugepageLimits) > 0}, {"network", r.Network != nil},
		{"rdma", len(r.Rdma) > 0}, {"unified", len(r.Unified) > 0},
	} {
		if s.set {
			names = append(names, s.name)
		}
	}
	if names != nil {
		n.Warn("linux.resources: " + strings.Join(names, ", ") + ": not applied, for the container has no cgroup")
	}
}

// Start implements Creation.
func (n *noCreation) Start(f *forker.Forker, p *launch.Process) error {
	return start(f, p, n.warn, n.cgroup.Spawn)
}

// BeforeProgram implements Creation: the namespaces tell the container's processes.
func (n *noCreation) BeforeProgram(rec *state.Record, write func() error) []func() error {
	return []func() error{func() error { return errors.Join(recordNamespaces(rec), write()) }}
}

// recordNamespaces records the namespaces that the container's process is in. An ordinary user may
// not look at those of a process that is not dumpable, as is one that joins others' namespaces: see
// setup.
func recordNamespaces(rec *state.Record) error {
	for i := range rec.Namespaces {
		n := &rec.Namespaces[i]
		inode, err := namespaceOf(rec.Pid, n.Type)
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

// none is the place of a container without a cgroup. Its processes are those in all namespaces that
// were made for it, if a mount or a PID namespace is among them: containers that share others with
// it, as those of a pod, are not in these. Without a PID namespace of its own they are also those
// that descend from the first process. A PID namespace of its own adopts what processes that joined
// it leave behind.
//
// A process that has left these namespaces, or had none of them to begin with, is lost when its
// parent ends.
type none struct{ rec *state.Record }

// Cgroup implements Placement.
func (n *none) Cgroup() (*cgroups.Manager, error) { return nil, ErrNoCgroup }

// Frozen implements Placement.
func (n *none) Frozen() (bool, error) { return false, nil }

// ThawKilled implements Placement.
func (n *none) ThawKilled() error { return nil }

// Update implements Placement.
func (n *none) Update(*specs.LinuxResources, func(string)) error { return ErrNoCgroup }

// Remove implements Placement.
func (n *none) Remove(func(string)) error { return nil }

// Processes implements Placement.
func (n *none) Processes() ([]int, error) {
	made := n.madeNamespaces()
	descends := func(int) bool { return false }
	if !n.rec.Owns(specs.PIDNamespace) {
		var err error
		if descends, err = n.descent(); err != nil {
			return nil, err
		}
	}
	return allProcesses(func(pid int) bool { return inNamespaces(pid, made) || descends(pid) })
}

// Signal implements Placement.
func (n *none) Signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return n.killAll()
	}
	pids, err := n.Processes()
	if err != nil {
		return err
	}
	return n.signal(pids, sig)
}

// chaseLimit is how long processes may fork faster than they are found.
const chaseLimit = 10 * time.Second

// killAll stops all processes before it kills them. Stopped processes make no others, and the
// parents that lead to others still exist.
func (n *none) killAll() error {
	stopped := make(map[int]bool)
	for deadline := time.Now().Add(chaseLimit); ; {
		pids, err := n.Processes()
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return stopped[pid] })
		expired := time.Now().After(deadline)
		if len(fresh) == 0 || expired {
			err := n.signal(pids, unix.SIGKILL)
			if expired {
				err = errors.Join(err, timeout.Errorf("kill: processes fork faster than they are found: %v", fresh))
			}
			return err
		}
		if err := n.signal(fresh, unix.SIGSTOP); err != nil {
			return err
		}
		for _, pid := range fresh {
			stopped[pid] = true
		}
	}
}

// EndOthers implements Placement. In a PID namespace of the container, they end with the first
// process.
func (n *none) EndOthers() error {
	if n.rec.Owns(specs.PIDNamespace) || n.rec.Pid == 0 {
		return nil
	}
	pids, err := n.Processes()
	if err != nil {
		return err
	}
	held := hold(pids)
	errs := []error{n.Signal(unix.SIGKILL)}
	deadline := time.Now().Add(launch.EndLimit)
	for pid, f := range held {
		if errs[0] == nil {
			errs = append(errs, launch.AwaitEnd(f, pid, deadline))
		}
		f.Close()
	}
	return errors.Join(errs...)
}

// hold opens pidfds of the processes that have not ended.
func hold(pids []int) map[int]*os.File {
	held := make(map[int]*os.File, len(pids))
	for _, pid := range pids {
		if f, err := sys.OpenPidfd(pid); err == nil {
			held[pid] = f
		}
	}
	return held
}

// signal signals those of the processes that are still the container's when pidfds hold them: the
// PIDs are a moment old.
func (n *none) signal(pids []int, sig unix.Signal) error {
	held := hold(pids)
	still, err := n.Processes()
	errs := []error{err}
	for _, pid := range still {
		if f := held[pid]; f != nil {
			if err := sys.SignalPidfd(f, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("kill process %d: send %s: %w", pid, unix.SignalName(sig), err))
			}
		}
	}
	for _, f := range held {
		f.Close()
	}
	return errors.Join(errs...)
}

// madeNamespaces returns the namespaces that were made for the container; nil if they do not
// distinguish its processes from others.
func (n *none) madeNamespaces() []state.Namespace {
	var made []state.Namespace
	distinct := false
	for _, ns := range n.rec.Namespaces {
		if ns.Path == "" && ns.Inode != 0 {
			made = append(made, ns)
			distinct = distinct || ns.Type == specs.MountNamespace || ns.Type == specs.PIDNamespace
		}
	}
	if !distinct {
		return nil
	}
	return made
}

// inNamespaces reports whether a process is in all of these namespaces. A dead one is in none.
func inNamespaces(pid int, list []state.Namespace) bool {
	for i := range list {
		inode, err := namespaceOf(pid, list[i].Type)
		if err != nil || inode != list[i].Inode {
			return false
		}
	}
	return len(list) > 0
}

// namespaceOf returns the inode of a process's namespace.
func namespaceOf(pid int, t specs.LinuxNamespaceType) (uint64, error) {
	file := string(t)
	for _, k := range specconv.NamespaceKinds() {
		if k.Type == t {
			file = k.Proc
		}
	}
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

// descent returns a function that reports whether a process is the first one, or descends from it.
func (n *none) descent() (func(pid int) bool, error) {
	nobody := func(int) bool { return false }
	alive, err := sys.Alive(n.rec.Pid, n.rec.StartTime)
	if err != nil || !alive {
		return nobody, err
	}
	parents := make(map[int]int)
	_, err = allProcesses(func(pid int) bool {
		if p, err := sys.Stat(pid); err == nil && !p.Dead() {
			parents[pid] = p.Parent
		}
		return false
	})
	return func(pid int) bool {
		// No more steps than there are processes: a PID that is used again meanwhile may close a
		// circle.
		for range len(parents) {
			parent, known := parents[pid]
			switch {
			case !known:
				return false
			case pid == n.rec.Pid:
				return true
			}
			pid = parent
		}
		return false
	}, err
}
