package cgroups

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The limit of tasks must leave room for the spawning itself while it lasts. It is written by Create with that room, so that it
// is never absent, and as it is configured at the end of Spawn. If the runtime is killed in between, the looser one stays.

const (
	// spawnTasks is how many tasks of ours may be in a container's pids cgroup while it is spawned: a process, and the one that it
	// clones itself to once more, to enter a joined PID namespace.
	spawnTasks = 2

	// pidsLimit is the greatest value that pids.max accepts (PID_MAX_LIMIT of a 64 bit kernel).
	pidsLimit = 4 << 20

	// tightenTries times tightenPause is how long a memory limit may stay EBUSY for a process that is there already: the kernel
	// charges in advance, 256 KiB on each processor that has charged anything, and takes that back from other processors late.
	tightenTries = 100
	tightenPause = 200 * time.Microsecond
)

// splitLate puts values with room into the list for limits that need it, and keeps the configured ones for tighten.
func (m *Manager) splitLate(list []setting) {
	m.late = nil
	for i := range list {
		s := &list[i]
		limit, err := strconv.ParseInt(s.value, 10, 64)
		if err != nil || limit < 0 || s.file != "pids.max" {
			continue
		}
		if room := min(limit+spawnTasks, pidsLimit); room > limit {
			m.late = append(m.late, *s)
			s.value = itoa(room)
		}
	}
}

// Tighten writes the configured limits in place of those that left room for the spawning.
func (m *Manager) Tighten() error {
	if len(m.late) == 0 {
		return nil
	}
	err := m.write(m.late)
	for try := 0; errors.Is(err, unix.EBUSY) && try < tightenTries; try++ {
		nap(tightenPause)
		err = m.write(m.late)
	}
	if err == nil {
		m.late = nil
	}
	return err
}
