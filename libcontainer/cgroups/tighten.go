package cgroups

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The limit of tasks must leave room for the spawning itself while that lasts. Create writes it
// with that room, so the limit is never absent, and the end of Spawn writes the configured one. If
// the runtime is killed in between, the looser one stays.

const (
	// spawnTasks is the number of tasks of the runtime that may be in a container's pids cgroup
	// while it is spawned: a process, and its clone that enters a joined PID namespace.
	spawnTasks = 2

	// pidsLimit is the greatest value that pids.max accepts (PID_MAX_LIMIT of a 64 bit kernel).
	pidsLimit = 4 << 20

	// tightenTries times tightenPause is how long a memory limit may stay EBUSY for a process that
	// already exists: the kernel charges in advance, 256 KiB on each processor that has charged
	// anything, and returns the other processors' charges with a delay.
	tightenTries = 100
	tightenPause = 200 * time.Microsecond
)

// deferLimits replaces limits in the list that need room by looser ones, and keeps the configured
// ones for Tighten.
func (m *Manager) deferLimits(list []setting) {
	m.deferred = nil
	for i := range list {
		s := &list[i]
		limit, err := strconv.ParseInt(s.value, 10, 64)
		if err != nil || limit < 0 || s.file != "pids.max" {
			continue
		}
		if room := min(limit+spawnTasks, pidsLimit); room > limit {
			m.deferred = append(m.deferred, *s)
			s.value = itoa(room)
		}
	}
}

// Tighten writes the configured limits in place of those that left room for the spawning.
func (m *Manager) Tighten() error {
	if len(m.deferred) == 0 {
		return nil
	}
	err := m.write(m.deferred)
	for try := 0; errors.Is(err, unix.EBUSY) && try < tightenTries; try++ {
		nap(tightenPause)
		err = m.write(m.deferred)
	}
	if err == nil {
		m.deferred = nil
	}
	return err
}
