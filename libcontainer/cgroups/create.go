package cgroups

import (
	"fmt"
	"os"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateBirthplace makes the folder that a process is born in, cgroup2's, if there is one. Create makes the others then, while SpawnEarly starts
// the process. What has been made is the caller's to remove then if one of them fails, by Undo.
//
// errors.Is(err, ErrFrozen): the folder was there, and is frozen.
func (m *Manager) CreateBirthplace() error {
	m.birthplace = true
	if m.unified.dir == "" {
		return nil
	}
	if err := m.makeFolder(&m.unified); err != nil || !m.reused {
		return err
	}
	frozen, err := frozenV2(m.unified.dir)
	if err == nil && frozen {
		err = existsFrozen()
	}
	return err
}

// existsFrozen is the error for a cgroup that is to be made.
func existsFrozen() error { return fmt.Errorf("create cgroup: it exists and is frozen: %w", ErrFrozen) }

// Create makes the cgroup's folders and writes the limits. On failure it removes the folders that it made, unless CreateBirthplace has made
// the first; ones that were there before stay, with what was written into them.
//
// errors.Is(err, ErrFrozen): the cgroup was there, and is frozen. A limit that cannot be set is a *ResourceError. Where
// permission lacks, errors.Is(err, fs.ErrPermission) or EROFS.
func (m *Manager) Create(r *specs.LinuxResources) error {
	return m.create(r, func(l *limits) error {
		if !m.birthplace { // otherwise nothing is forked inside
			m.splitLate(l.list)
		}
		return m.apply(r, l, m.write)
	})
}

// Prepare is Create without the limits, for a cgroup that systemd is told of when it has a process: systemd writes limits of its own then.
// Limit comes after that.
func (m *Manager) Prepare(r *specs.LinuxResources) error {
	return m.create(r, func(*limits) error { return nil })
}

// Limit writes the limits of a cgroup that Prepare has made, and that may have processes by now.
func (m *Manager) Limit(r *specs.LinuxResources) error {
	l, err := m.limits(r, false)
	if err != nil {
		return err
	}
	l.live = true
	return m.apply(r, l, func(list []setting) error {
		m.late = list
		return m.tighten()
	})
}

// create makes the folders, then does apply, and removes the folders again when that fails and no process is born in them meanwhile.
func (m *Manager) create(r *specs.LinuxResources, apply func(*limits) error) (err error) {
	l, err := m.limits(r, false) // before anything is made
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !m.birthplace {
			m.Undo()
		}
	}()
	err = m.all(func(f *folder) error {
		if f == &m.unified && m.birthplace {
			return nil
		}
		return m.makeFolder(f)
	})
	if err != nil {
		return err
	}
	if m.reused {
		l.live = true
		if frozen, err := m.Frozen(); err != nil {
			return err
		} else if frozen {
			return existsFrozen()
		}
	}
	return apply(l)
}

// Undo removes the folders that were made for this Manager, the parents too, as far as nothing is in there.
func (m *Manager) Undo() {
	for i := len(m.made) - 1; i >= 0; i-- {
		unix.Rmdir(m.made[i])
	}
	m.made = nil
}

// makeFolder makes one folder, and its parents where they are missing.
func (m *Manager) makeFolder(f *folder) error {
	existed, err := mkdirs(f.dir, f.mount, &m.made)
	if err != nil {
		return err
	}
	if existed {
		m.reused = true
	}
	if f.has("cpuset") {
		return inheritCpuset(f.dir, f.mount, !existed)
	}
	return nil
}

func mkdirs(dir, mount string, made *[]string) (existed bool, err error) {
	// The parents are nearly always there: trying costs less than looking.
	for {
		switch err := unix.Mkdir(dir, 0o755); err {
		case nil:
			*made = append(*made, dir)
			return false, nil
		case unix.EEXIST:
			return true, nil
		case unix.EINTR:
		case unix.ENOENT:
			if dir == mount || dir == "/" {
				return false, &os.PathError{Op: "make cgroup", Path: dir, Err: err}
			}
			if _, err := mkdirs(path.Dir(dir), mount, made); err != nil {
				return false, err
			}
		default:
			return false, &os.PathError{Op: "make cgroup", Path: dir, Err: err}
		}
	}
}
