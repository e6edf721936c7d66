package cgroups

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Creatable reports whether the caller has the permission to make the cgroup, in each of its
// hierarchies.
func (m *Manager) Creatable() bool {
	return !slices.ContainsFunc(m.all(), func(f *directory) bool {
		return accessible(existing(f.dir), unix.W_OK|unix.X_OK) != nil
	})
}

// LeaveDevices makes Create, and later calls, leave devices as they are: only the host's root may
// set rules for them. In a user namespace no device nodes can be made, so there is less to protect.
func (m *Manager) LeaveDevices() { m.devicesLeft = true }
