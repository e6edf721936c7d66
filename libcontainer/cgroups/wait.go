package cgroups

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// The kernel tells of a cgroup that empties in two ways. cgroup2: cgroup.events changes, which wakes poll. v1 has nothing of
// the sort (notify_on_release starts a program for the whole hierarchy; cgroup.event_control knows memory only), but
// each task that is still in there can be waited for: a pidfd becomes readable when it has exited, and a task leaves its
// cgroups before that.

// waitEvent waits until cgroup.events of a cgroup2 folder has the line; false: the deadline passed. A folder that is gone has
// every event behind it.
func waitEvent(dir, line string, deadline time.Time) (bool, error) {
	fd, err := sys.OpenFd(dir+"/cgroup.events", unix.O_RDONLY)
	if err == unix.ENOENT {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open %s/cgroup.events: %w", dir, err)
	}
	defer unix.Close(fd)
	for {
		// A read arms the next poll, so that no change falls between the two.
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

// hasEvent reads whether an open cgroup.events has the line, or its folder is gone, of which the kernel tells in either call.
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

// poll waits until fd has the events; false: the deadline passed.
func poll(fd int, events int16, deadline time.Time) bool {
	ready, err := sys.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, deadline)
	return ready || err != nil
}

// waitTask waits until the task with this thread id has exited; false: the deadline passed.
func waitTask(tid int, deadline time.Time) bool {
	// PIDFD_THREAD is there since kernel 6.9. Before that only a thread group's leader can be waited for.
	fd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if err == unix.EINVAL {
		fd, err = unix.PidfdOpen(tid, 0)
	}
	switch err {
	case nil:
	case unix.ESRCH:
		return true
	default:
		// No pidfd can be had: another thread on an old kernel, a task outside of our PID namespace (0 in the list), or
		// no descriptor left. Nothing tells of its end but another look.
		nap(time.Millisecond)
		return time.Now().Before(deadline)
	}
	defer unix.Close(fd)
	return poll(fd, unix.POLLIN, deadline)
}

// nap is for the few waits that no event can end.
func nap(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(d))
	unix.Ppoll(nil, &timeout, nil)
}

// WaitEmpty waits until all processes have left the cgroup and those below, by exit or otherwise; being reaped is not
// needed. After limit it gives an error that wraps EBUSY and names processes that are still there.
func (m *Manager) WaitEmpty(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	return m.ours(func(f *folder) error {
		if empty, err := m.waitFolder(f.dir, f == &m.unified, deadline); err != nil || empty {
			return err
		}
		return m.stillUsed("wait for cgroup", f.dir, limit)
	})
}

// waitFolder waits until no task is in a folder or below it; false: the deadline passed.
func (m *Manager) waitFolder(dir string, cgroup2 bool, deadline time.Time) (bool, error) {
	if cgroup2 && !m.foreignBelow(dir) {
		return waitEvent(dir, "populated 0", deadline)
	}
	for {
		var tids []int
		list := m.threads
		if cgroup2 {
			list = m.members
		}
		if err := list(dir, &tids); err != nil {
			return false, err
		}
		if len(tids) == 0 {
			return true, nil
		}
		if !time.Now().Before(deadline) {
			return false, nil
		}
		for _, tid := range tids {
			// One that has not exited may have been moved out.
			waitTask(tid, earlier(deadline, time.Now().Add(visit)))
		}
	}
}

// visit is how long to wait for the end of a task before its cgroup is looked at again: nothing tells of a task that is moved.
const visit = 2 * time.Millisecond

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (m *Manager) stillUsed(operation, dir string, limit time.Duration) error {
	var pids []int
	m.members(dir, &pids)
	return timeout.Errorf("%s %s: still in use after %v: %s: %w", operation, dir, limit, Holdup(pids...), unix.EBUSY)
}
