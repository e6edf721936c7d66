package cgroups

import (
	"errors"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pidsBoth: kernel document cgroup-v1/pids.rst; the file is the same in cgroup2. 0 is a limit: no fork at all.
func pidsBoth(s []setting, r *specs.LinuxPids) []setting {
	if r.Limit != nil {
		s = append(s, setting{"pids", "pids.max", orMax(*r.Limit), "linux.resources.pids.limit", false})
	}
	return s
}

// spawnTasks is how many tasks of ours may be in a container's pids cgroup while it is spawned: the thread that forks (v1), and
// a process that clones itself once more to enter a joined PID namespace.
const spawnTasks = 2

// pidsLimit is the greatest value that pids.max accepts (PID_MAX_LIMIT of a 64 bit kernel).
const pidsLimit = 4 << 20

// splitPids takes pids.max out of the settings that are written before the first process is there, and puts a limit in its place that
// leaves room for the spawning. The configured one is written when that is over: see [Manager.Spawn]. In between,
// and if the runtime is killed there, the limit is looser by spawnTasks, but never absent.
func (m *Manager) splitPids(list []setting) {
	for i := range list {
		s := &list[i]
		if s.controller != "pids" {
			continue
		}
		limit, err := strconv.ParseInt(s.value, 10, 64)
		if err != nil || limit+spawnTasks > pidsLimit {
			return
		}
		final := *s
		m.pidsMax = &final
		s.value = itoa(limit + spawnTasks)
		return
	}
}

// tightenPids writes the configured pids.max in place of the one that left room for the spawning.
func (m *Manager) tightenPids() error {
	if m.pidsMax == nil {
		return nil
	}
	err := m.write([]setting{*m.pidsMax})
	if err == nil {
		m.pidsMax = nil
	}
	return err
}

// withRoom calls fork with pids.max raised by spawnTasks, after fork failed since the container is at its limit. The kernel does
// not refuse a process that is moved into a full cgroup, and other runtimes enter that way; so a process that is born there is
// not to be refused either. The lock on the control file keeps a second exec from taking the raised value for the
// limit. A runtime that is killed in here leaves the limit spawnTasks too high.
func (m *Manager) withRoom(fork func() error, refused error) error {
	f, _ := m.place("pids")
	if f == nil {
		return refused
	}
	fd, err := open(f.dir+"/pids.max", unix.O_RDWR)
	if err != nil {
		return refused
	}
	defer unix.Close(fd)
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err != nil {
		return refused
	}
	value, err := readAll(fd)
	if err != nil {
		return refused
	}
	value = strings.TrimSpace(value)
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit+spawnTasks > pidsLimit {
		return refused // "max": something else refused
	}
	// Earlier execs, and the forking thread, may have brought the cgroup above its limit already.
	current, err := readFile(f.dir + "/pids.current")
	if err != nil {
		return refused
	}
	if now, err := strconv.ParseInt(strings.TrimSpace(current), 10, 64); err == nil {
		limit = max(limit, now)
	}
	if err := writeAll(fd, itoa(limit+spawnTasks)); err != nil {
		return refused
	}
	err = fork()
	if restore := writeAll(fd, value); restore != nil {
		err = errors.Join(err, &ResourceError{Field: "linux.resources.pids.limit", Controller: "pids",
			File: f.dir + "/pids.max", Value: value, Err: restore})
	}
	return err
}
