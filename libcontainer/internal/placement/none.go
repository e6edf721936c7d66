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

// noCreation is the placement of a new container without a cgroup.
type noCreation struct{ base }

func newNone(b base) (Creation, error) { return &noCreation{b}, b.checkBelow(nil) }

// Check implements Creation. Resources that are not applied are only a warning.
func (n *noCreation) Check() []error {
	n.warn()
	return nil
}

// warn warns of resources that are not applied.
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

// BeforeProgram implements Creation: the namespaces identify the container's processes.
func (n *noCreation) BeforeProgram(rec *state.Record, write func() error) []func() error {
	return []func() error{func() error { return errors.Join(recordNamespaces(rec), write()) }}
}

// recordNamespaces records the namespaces of the container's process. An ordinary user may not
// inspect those of a process that is not dumpable, such as one that joins namespaces: see setup.
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

// none is the placement of a container without a cgroup. Its processes are those in all namespaces
// that were created for it, if a mount or PID namespace is among them: containers that share other
// namespaces with it, such as those of a pod, are not in these. Without a PID namespace of its own,
// the descendants of the first process belong to it, too. A PID namespace of its own adopts the
// orphans of processes that joined it.
//
// A process that has left these namespaces, or was never in them, is lost when its parent ends.
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

// chaseLimit is how long killAll tries to catch up with processes that fork.
const chaseLimit = 10 * time.Second

// killAll stops all processes before it kills them: stopped processes do not fork, and descendants
// are found through parents that still exist.
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

// hold opens pidfds of the processes that are still alive.
func hold(pids []int) map[int]*os.File {
	held := make(map[int]*os.File, len(pids))
	for _, pid := range pids {
		if f, err := sys.OpenPidfd(pid); err == nil {
			held[pid] = f
		}
	}
	return held
}

// signal signals the processes that still belong to the container once their pidfds are open: a PID
// may have been reused since it was listed.
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

// madeNamespaces returns the namespaces that were created for the container; nil if they do not
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

// inNamespaces reports whether a process is in all given namespaces. A dead process is in none.
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

// allProcesses returns the sorted PIDs of the processes that belong to the container.
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

// descent returns a function that reports whether a process is the first one or its descendant.
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
		// No more steps than there are processes: a PID that is reused meanwhile may close a cycle.
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
