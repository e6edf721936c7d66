package cgroups

import (
	"errors"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type setting struct{}

var errTodo = errors.New("not there yet")

// Create makes the folders and writes the limits; on failure it removes what it made. ErrFrozen: the cgroup exists and is frozen.
func (m *Manager) Create(r *specs.LinuxResources) error { return errTodo }

// Spawn runs fork so that the process which it starts is born in the container's cgroups. unifiedFD: for CLONE_INTO_CGROUP, or -1.
func (m *Manager) Spawn(fork func(unifiedFD int) error) error { return errTodo }

// SpawnFrozen is Spawn for a paused container (exec --ignore-paused): fork's child is moved into the frozen cgroup afterwards.
func (m *Manager) SpawnFrozen(fork func(unifiedFD int) (pid int, err error)) error { return errTodo }

// Processes gives all pids in the cgroup and below, sorted.
func (m *Manager) Processes() ([]int, error) { return nil, errTodo }

// Empty reports whether no process is in the cgroup or below.
func (m *Manager) Empty() (bool, error) { return false, errTodo }

// Kill sends sig to every process; does not wait for their end.
func (m *Manager) Kill(sig unix.Signal) error { return errTodo }

// WaitEmpty waits until all processes have left.
func (m *Manager) WaitEmpty(limit time.Duration) error { return errTodo }

// Frozen reports whether the cgroup is frozen.
func (m *Manager) Frozen() (bool, error) { return false, errTodo }

// Freeze stops all processes and waits until they stand.
func (m *Manager) Freeze() error { return errTodo }

// Thaw lets them go on.
func (m *Manager) Thaw() error { return errTodo }

// Delete removes the folders, children first; waits for dying processes.
func (m *Manager) Delete() error { return errTodo }

// Unapplied names the fields of r that are set and not applied.
func Unapplied(r *specs.LinuxResources) []string { return nil }
