package cgroups

import (
	"fmt"
	"os"
)

// A container may get a cgroup2 below its own in which its processes start, and which it may manage
// itself:
//
//	C         the container's cgroup: the limits, which only the runtime may change, and no
//	          process
//	C/NAME    the processes, which may divide it

// subtreeControl is the file by which a cgroup enables controllers for its children.
const subtreeControl = "cgroup.subtree_control"

// Delegate starts the container's processes in the child of this name of the cgroup2 directory. It
// must be called before Create.
func (m *Manager) Delegate(name string) { m.delegated = name }

// home is the cgroup2 directory of the container's first process, "" if there is none.
func (m *Manager) home() string {
	if m.delegated == "" {
		return m.unified.dir
	}
	return m.unified.dir + "/" + m.delegated
}

// HomePaths is Paths, with the cgroup2 directory of the container's first process.
func (m *Manager) HomePaths() map[string]string {
	paths := m.Paths()
	if m.delegated != "" {
		paths[""] = m.home()
	}
	return paths
}

// makeHome makes the directory that Delegate has named, and enables all available controllers for
// it. A controller that cannot be enabled is no error, because the limits are not there.
func (m *Manager) makeHome() error {
	if m.delegated == "" {
		return nil
	}
	existed, err := mkdirs(m.home(), m.unified.mount, &m.made)
	if err != nil {
		return err
	}
	if existed {
		return fmt.Errorf("%w: %s already exists", ErrOccupied, m.home())
	}
	return m.giveHome()
}

// giveHome enables the controllers of the container's cgroup in the delegated one.
func (m *Manager) giveHome() error {
	if m.delegated == "" {
		return nil
	}
	if m.unified.found {
		m.before.file(m.unified.dir, subtreeControl)
	}
	e := enabling{refused: make(map[string]error)}
	return e.enable(m.unified.dir, m.unified.dir)
}

// Descend makes the missing cgroups below top, into which systemd has put the process, and moves
// the process to the one in which it starts. The process has not allocated anything yet, so nothing
// is charged to top.
func (m *Manager) Descend(top *Manager, pid int) error {
	if m.unified.dir != top.unified.dir {
		if err := m.makeDirectory(&m.unified); err != nil {
			return err
		}
	}
	if err := m.makeHome(); err != nil {
		return err
	}
	file := m.home() + "/cgroup.procs"
	if err := writeFile(file, itoa(int64(pid))); err != nil {
		return &os.PathError{Op: fmt.Sprintf("write %d to", pid), Path: file, Err: err}
	}
	return nil
}
