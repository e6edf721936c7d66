package cgroups

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// The kernel reports in two ways that a cgroup becomes empty. On cgroup2, cgroup.events changes,
// which wakes poll. v1 has nothing similar (notify_on_release starts a program for the whole
// hierarchy; cgroup.event_control only supports memory), but each remaining task can be waited for:
// a pidfd becomes readable when the task has exited, and a task leaves its cgroups before that.

// waitEvent waits until cgroup.events of a cgroup2 directory has the line; false means that the
// deadline passed. For a directory that is gone every event has happened.
func waitEvent(dir, line string, deadline time.Time) (bool, error) {
	fd, err := sys.OpenFd(dir+"/cgroup.events", unix.O_RDONLY)
	if err == unix.ENOENT || err == unix.ENODEV { // ENODEV: it is being removed
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open %s/cgroup.events: %w", dir, err)
	}
	defer unix.Close(fd)
	for {
		// A read arms the next poll, so no change is missed in between.
		happened, err := hasEvent(fd, line)
		if err != nil {
			return false, fmt.Errorf("read %s/cgroup.events: %w", dir, err)
		}
		if happened {
			return true, nil
		}
		if !poll(fd, unix.POLLPRI, deadline) {
			return false, nil
		}
	}
}

// hasEvent reports whether an open cgroup.events has the line, or its directory is gone, which
// either call may report.
func hasEvent(fd int, line string) (bool, error) {
	_, err := unix.Seek(fd, 0, 0)
	var events []byte
	if err == nil {
		events, err = sys.ReadAll(fd, 512)
	}
	if err == unix.ENODEV {
		return true, nil
	}
	return strings.Contains(string(events), line), err
}

// poll waits until fd has the events; false means that the deadline passed.
func poll(fd int, events int16, deadline time.Time) bool {
	ready, err := sys.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, deadline)
	return ready || err != nil
}

// waitTask waits until the task with this thread ID has exited; false means that the deadline
// passed.
func waitTask(tid int, deadline time.Time) bool {
	// PIDFD_THREAD exists since kernel 6.9. Before that only a thread group's leader can be waited
	// for.
	fd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if err == unix.EINVAL {
		fd, err = unix.PidfdOpen(tid, 0)
	}
	switch err {
	case nil:
	case unix.ESRCH:
		return true
	default:
		// There is no pidfd for another thread on an old kernel or a task outside the runtime's PID
		// namespace (0 in the list), and there may be no descriptor left. No event reports the
		// exit, so the caller must check again.
		nap(time.Millisecond)
		return time.Now().Before(deadline)
	}
	defer unix.Close(fd)
	return poll(fd, unix.POLLIN, deadline)
}

// nap sleeps where no event can end a wait.
func nap(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(d))
	unix.Ppoll(nil, &timeout, nil)
}

// WaitEmpty waits until all processes have left the cgroup and those below, by exit or otherwise;
// they need not have been reaped. After limit it returns an error that wraps EBUSY and names the
// remaining processes.
func (m *Manager) WaitEmpty(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for _, f := range m.ours() {
		empty, err := m.waitDirectory(f.dir, f == &m.unified, deadline)
		if err == nil && !empty {
			err = m.stillUsed("wait for cgroup", f.dir, limit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// waitDirectory waits until no task is in a directory or below it; false means that the deadline
// passed.
func (m *Manager) waitDirectory(dir string, cgroup2 bool, deadline time.Time) (bool, error) {
	if cgroup2 && !m.foreignBelow(dir) {
		return waitEvent(dir, "populated 0", deadline)
	}
	list := "tasks"
	if cgroup2 {
		list = processes
	}
	for {
		tids, err := m.idsIn(dir, list)
		if err != nil || len(tids) == 0 {
			return err == nil, err
		}
		if !time.Now().Before(deadline) {
			return false, nil
		}
		for _, tid := range tids {
			// A task that has not exited may have been moved out.
			until := time.Now().Add(visit)
			if deadline.Before(until) {
				until = deadline
			}
			waitTask(tid, until)
		}
	}
}

// visit is how long to wait for a task's exit before checking its cgroup again, because no event
// reports that a task is moved.
const visit = 2 * time.Millisecond

func (m *Manager) stillUsed(operation, dir string, limit time.Duration) error {
	pids, _ := m.idsIn(dir, processes)
	return timeout.Errorf("%s %s: still in use after %v: %s: %w", operation, dir, limit, BlockedBy(pids...), unix.EBUSY)
}
