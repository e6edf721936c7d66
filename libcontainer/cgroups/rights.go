package cgroups

import (
	"path"

	"golang.org/x/sys/unix"
)

// Creatable reports whether the caller has the permission to make the cgroup, in each of its
// hierarchies.
func (m *Manager) Creatable() bool {
	return m.all(func(f *directory) error {
		dir := f.dir
		for {
			err := unix.Faccessat2(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
			if err != unix.ENOENT || dir == "/" {
				return err
			}
			dir = path.Dir(dir)
		}
	}) == nil
}

// LeaveDevices makes Create, and later calls, leave devices as they are: only the host's root may
// set rules for them. In a user namespace no device nodes can be made, so there is less to protect.
func (m *Manager) LeaveDevices() { m.devicesLeft = true }
