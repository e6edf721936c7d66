package cgroups

import (
	"errors"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pids: kernel document cgroup-v1/pids.rst; the file is the same in cgroup2. 0 is a limit: no fork at all.
func (s *settingList) pids(r *specs.LinuxPids) {
	if r.Limit != nil {
		s.add(setting{controller: "pids", file: "pids.max", value: orMax(*r.Limit), field: "linux.resources.pids.limit"})
	}
}

// roomTries is how often withRoom tries: others may be quicker each time, as in a container with a fork bomb.
const roomTries = 20

// withRoom calls fork with pids.max raised by spawnTasks, after fork failed since the container is at its limit. The kernel does
// not refuse a process that is moved into a full cgroup, and other runtimes enter that way; so a process that is born there is
// not to be refused either. The lock on the control file keeps a second exec from taking the raised value for the
// limit. A runtime that is killed in here leaves the limit too high.
func (m *Manager) withRoom(fork func() error, refused error) error {
	f, _ := m.place("pids")
	if f == nil {
		return refused
	}
	fd, err := lockFile(f.dir + "/pids.max")
	if err != nil {
		return refused
	}
	defer unix.Close(fd)
	value, err := readAll(fd, 512)
	if err != nil {
		return refused
	}
	value = strings.TrimSpace(value)
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit+spawnTasks > pidsLimit {
		return refused // "max": something else refused
	}
	for range roomTries {
		// Earlier execs may have brought the cgroup above its limit already.
		room := limit
		if now, ok := readNumber(f.dir + "/pids.current"); ok {
			room = max(limit, now)
		}
		if writeAll(fd, itoa(min(room+spawnTasks, pidsLimit))) != nil {
			err = refused
			break
		}
		// Others that come in just now, or a process of the container's that forks, may take the room.
		if err = fork(); !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if restore := writeAll(fd, value); restore != nil {
		err = errors.Join(err, &ResourceError{Field: "linux.resources.pids.limit", Controller: "pids",
			File: f.dir + "/pids.max", Value: value, Err: restore})
	}
	return err
}
