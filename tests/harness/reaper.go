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
	for pid, parent := range parents() {
		if parent != self || r.mine[pid] {
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

// parents maps each process of this PID namespace to its parent.
func parents() map[int]int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	found := make(map[int]int, len(entries))
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // gone
		}
		// "PID (name) S PPID ...": the name may hold anything, the last ")" ends it.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			found[pid] = parent
		}
	}
	return found
}

// descendants lists the processes below this one.
func descendants() []int {
	all, self := parents(), os.Getpid()
	var found []int
	for pid := range all {
		for up, ok := all[pid]; ok; up, ok = all[up] {
			if up == self {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}
