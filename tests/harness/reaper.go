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

// reaper waits for the orphans that this process inherits as a subreaper: containers' first
// processes, whose parent, the runtime, has exited.
//
// It must not reap the children of exec.Cmd. So every command is started and waited for through the
// reaper, which knows them by their PIDs and waits for all others, each by its own PID; a wait for
// any child would reap the wrong ones.
type reaper struct {
	mu     sync.Mutex
	mine   map[int]bool            // commands that were started here and not yet waited for
	dead   map[int]unix.WaitStatus // statuses of the reaped orphans
	change chan struct{}           // closed when the next orphan is reaped
}

func newReaper() *reaper {
	r := &reaper{mine: map[int]bool{}, dead: map[int]unix.WaitStatus{}, change: make(chan struct{})}
	// One pending sweep is enough for any number of exits.
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			r.sweep()
		}
	}()
	return r
}

// start starts a command. Holding the lock keeps a sweep from reaping a child that isn't listed
// yet.
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

// waitNone waits until no process is left below this one except ignored ones, and returns those
// that are left after the time limit.
func (r *reaper) waitNone(limit time.Duration, ignore func(pid int) bool) []int {
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
		// No event reports the exit of a grandchild here.
		case <-time.After(20 * time.Millisecond):
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

// children lists the children of a process, including dead ones. The kernel may omit some while
// others exit, but never returns an empty list wrongly.
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
