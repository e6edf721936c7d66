package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/timeout"
)

// freezeLimit bounds the wait for processes to freeze; one in an uninterruptible system call may
// never do so.
const freezeLimit = 10 * time.Second

// Frozen reports whether the cgroup, or one above it, is frozen or about to be. A cgroup that is
// gone is not frozen.
func (m *Manager) Frozen() (bool, error) {
	if f := m.v1("freezer"); f != nil {
		frozen, err := frozenV1(f.dir)
		if frozen || err != nil {
			return frozen, err
		}
	}
	if m.unified.dir != "" {
		return frozenV2(m.unified.dir)
	}
	return false, nil
}

func frozenV1(dir string) (bool, error) {
	state, present, err := readPresent(dir + "/freezer.state")
	return present && !strings.HasPrefix(state, "THAWED"), err
}

func frozenV2(dir string) (bool, error) {
	// cgroup.events takes parents into account but only shows completed freezing; cgroup.freeze,
	// since kernel 5.2, shows the request.
	events, present, err := readPresent(dir + "/cgroup.events")
	if err != nil || !present || strings.Contains(events, "frozen 1") {
		return present, err
	}
	freeze, _, err := readPresent(dir + "/cgroup.freeze")
	return strings.HasPrefix(freeze, "1"), err
}

// Freeze stops all processes and returns once they have stopped. On failure it resumes them.
func (m *Manager) Freeze() error {
	deadline := time.Now().Add(freezeLimit)
	var err error
	f := m.v1("freezer")
	switch {
	case f != nil:
		err = freezeV1(f.dir, deadline)
	case m.unified.dir != "":
		err = freezeV2(m.unified.dir, deadline)
	default:
		return fmt.Errorf("freeze: cgroup controller freezer: %w", errNoController)
	}
	if err != nil {
		return errors.Join(err, m.Thaw())
	}
	return nil
}

func freezeV1(dir string, deadline time.Time) error {
	file := dir + "/freezer.state"
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		// Written again each time, because a process that forks at that moment can escape
		// (cgroup-v1/freezer-subsystem.rst).
		if err := writeFile(file, "FROZEN"); err != nil {
			return fmt.Errorf("write FROZEN to %s: %w", file, err)
		}
		state, err := readFile(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if strings.HasPrefix(state, "FROZEN") {
			return nil
		}
		if time.Now().After(deadline) {
			return stillMoving(dir)
		}
		// The v1 freezer does not notify anybody: the kernel computes the state when it is read.
		nap(pause)
	}
}

func freezeV2(dir string, deadline time.Time) error {
	if err := writeFile(dir+"/cgroup.freeze", "1"); err != nil {
		return fmt.Errorf("write 1 to %s/cgroup.freeze: %w", dir, err)
	}
	ok, err := waitEvent(dir, "frozen 1", deadline)
	if err == nil && !ok {
		err = stillMoving(dir)
	}
	return err
}

// stillMoving is the error for processes that could not be frozen.
func stillMoving(dir string) error {
	pids, _ := everybody.idsIn(dir, processes)
	pids = slices.DeleteFunc(pids, func(pid int) bool { // those that have stopped
		wchan, _ := readFile("/proc/" + strconv.Itoa(pid) + "/wchan")
		return strings.Contains(wchan, "refrigerator") || strings.Contains(wchan, "freezer_trap")
	})
	return timeout.Errorf("freeze %s: not all processes are frozen after %v: %s", dir, freezeLimit, BlockedBy(pids...))
}

// ThawKilled lets processes exit that were killed while they were frozen, also by a cgroup below
// that the container has made and frozen itself. A frozen cgroup2 does not prevent the exit, a
// frozen v1 cgroup does.
func (m *Manager) ThawKilled() error {
	if f := m.v1("freezer"); f != nil && m.mine(f) {
		return m.thawTree(f.dir)
	}
	return nil
}

func (m *Manager) thawTree(dir string) error {
	frozen, err := frozenV1(dir)
	if err != nil {
		return err
	}
	if frozen {
		if err := writeFile(dir+"/freezer.state", "THAWED"); err != nil && !absent(err) {
			return fmt.Errorf("write THAWED to %s/freezer.state: %w", dir, err)
		}
	}
	return m.below(dir, m.thawTree)
}

// Thaw resumes the processes. A cgroup that is gone has none: systemd removes a unit's with the
// last process.
func (m *Manager) Thaw() error {
	file, value := "freezer.state", "THAWED"
	f := m.v1("freezer")
	if f == nil {
		f, file, value = &m.unified, "cgroup.freeze", "0"
	}
	if f.dir == "" {
		return fmt.Errorf("thaw: cgroup controller freezer: %w", errNoController)
	}
	err := writeFile(f.dir+"/"+file, value)
	switch {
	case err == nil, err == unix.ENODEV, err == unix.ENOENT && unix.Access(f.dir, unix.F_OK) == unix.ENOENT:
		return nil
	}
	return fmt.Errorf("write %s to %s/%s: %w", value, f.dir, file, err)
}
