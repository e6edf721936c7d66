package cgroups

import (
	"fmt"
	"os"
)

// A container may get a cgroup2 below its own in which its processes begin, and which it may do with as it likes:
//
//	C         the container's cgroup: the limits, which are nobody's but the runtime's, and no process
//	C/NAME    the processes; it is theirs to divide

// subtreeControl is the file by which a cgroup gives controllers to those below.
const subtreeControl = "cgroup.subtree_control"

// Delegate has the container's processes begin in the cgroup of this name below cgroup2's folder. It is to be called before Create.
func (m *Manager) Delegate(name string) { m.delegated = name }

// home is the cgroup2 folder that the container's first process is in, "" where there is none.
func (m *Manager) home() string {
	if m.delegated == "" {
		return m.unified.dir
	}
	return m.unified.dir + "/" + m.delegated
}

// HomePaths is Paths, with the cgroup2 folder that the container's first process is in.
func (m *Manager) HomePaths() map[string]string {
	paths := m.Paths()
	if m.delegated != "" {
		paths[""] = m.home()
	}
	return paths
}

// makeHome makes the folder that Delegate has named, and gives it all controllers that there are. It is in nobody's way where a controller
// cannot be given: the limits are not in there.
func (m *Manager) makeHome() error {
	if m.delegated == "" {
		return nil
	}
	existed, err := mkdirs(m.home(), m.unified.mount, &m.made)
	if err != nil {
		return err
	}
	if existed {
		return fmt.Errorf("%w: %s is there already", ErrOccupied, m.home())
	}
	return m.giveHome()
}

// giveHome gives the delegated cgroup the controllers that the container's has.
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

// Descend makes what is missing of the cgroup below top, where systemd has put the process, and moves that to where it is to begin. Nothing of the process's
// own has begun, so nothing is charged to top.
func (m *Manager) Descend(top *Manager, pid int) error {
	if m.unified.dir != top.unified.dir {
		if err := m.makeFolder(&m.unified); err != nil {
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
