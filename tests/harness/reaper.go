package harness

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reaper waits for the orphans that this process inherits as a subreaper: containers' first processes,
// whose parent, the runtime, has ended.
//
// The children of exec.Cmd must not be taken from it. So every command is started and waited for through
// the reaper, which knows those by their ids and waits for all others, each by its own id; a wait for any
// child would steal.
type reaper struct {
	mu   sync.Mutex
	mine map[int]bool // commands that were started here and not yet waited for
	// statuses of the orphans that were reaped, and a channel that is closed when the next one is
	dead   map[int]unix.WaitStatus
	change chan struct{}
}

func newReaper() *reaper {
	r := &reaper{mine: map[int]bool{}, dead: map[int]unix.WaitStatus{}, change: make(chan struct{})}
	died := make(chan os.Signal, 1) // one pending sweep is enough, whatever the number of deaths
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			r.sweep()
		}
	}()
	return r
}

// start starts a command; holding the lock keeps a sweep from meeting a child that isn't listed yet.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.mine[cmd.Process.Pid] = true
	return nil
}

// wait waits for a command that start started.
func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	delete(r.mine, cmd.Process.Pid)
	r.mu.Unlock()
	return err
}

// sweep reaps all dead orphans.
func (r *reaper) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	self := os.Getpid()
	for _, pid := range children(self) {
		if r.mine[pid] {
			continue
		}
		var status unix.WaitStatus
		if got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); err == nil && got == pid {
			r.dead[pid] = status
			close(r.change)
			r.change = make(chan struct{})
		}
	}
}

// waitOrphan waits until the orphan is reaped and returns its status.
func (r *reaper) waitOrphan(pid int, limit time.Duration) (unix.WaitStatus, bool) {
	timer := time.After(limit)
	for {
		r.mu.Lock()
		status, ok := r.dead[pid]
		change := r.change
		delete(r.dead, pid)
		r.mu.Unlock()
		if ok {
			return status, true
		}
		select {
		case <-change:
		case <-timer:
			return 0, false
		}
	}
}

// settle waits until no process is left below this one but those to be ignored, and returns those that are
// after the time limit.
func (r *reaper) settle(limit time.Duration, ignore func(pid int) bool) []int {
	timer := time.After(limit)
	for {
		r.mu.Lock()
		change := r.change
		r.mu.Unlock()
		r.sweep()
		left := slices.DeleteFunc(descendants(), ignore)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-change:
		case <-time.After(20 * time.Millisecond): // the death of a grandchild is told to nobody here
		case <-timer:
			return left
		}
	}
}

// processes lists the processes of this PID namespace.
func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// children lists the children of a process, also dead ones. The kernel may leave some out while others end, but not say that there are none.
func children(pid int) []int {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		list, err := os.ReadFile(tasks + entry.Name() + "/children")
		if err != nil {
			continue // gone
		}
		for field := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// descendants lists the processes below this one.
func descendants() []int {
	found := children(os.Getpid())
	for i := 0; i < len(found); i++ {
		found = append(found, children(found[i])...)
	}
	return found
}
