package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateBirthplace makes the folder that a process is born in, cgroup2's, if there is one. Create makes the others then, while SpawnEarly starts
// the process. It is for a cgroup of which Find has found nothing. What has been made is the caller's to remove if one of them fails, by Undo.
func (m *Manager) CreateBirthplace() error {
	m.birthplace = true
	if m.unified.dir == "" {
		return nil
	}
	return m.makeFolder(&m.unified)
}

// existsFrozen is the error for a cgroup in which no process could begin.
func existsFrozen() error {
	return fmt.Errorf("create cgroup: it, or one above it, exists and is frozen: %w", ErrFrozen)
}

// Create makes the cgroup's folders, the container's alone, and writes the limits. On failure it removes the folders that it made and gives those that
// Find had found back as they were, unless CreateBirthplace was called.
//
// errors.Is(err, ErrFrozen): the cgroup, or one above it, is frozen. ErrOccupied: it is another's. A limit that cannot be set is a *ResourceError. Where
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
	err = m.apply(r, l, func(list []setting) error {
		m.late = list
		return m.Tighten()
	})
	if err != nil {
		return err
	}
	return m.giveHome()
}

// create makes the folders, then does apply, and removes the folders again when that fails and no process is born in them meanwhile.
func (m *Manager) create(r *specs.LinuxResources, apply func(*limits) error) (err error) {
	l, err := m.limits(r, false) // before anything is made
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !m.birthplace {
			err = errors.Join(err, m.Undo())
		}
	}()
	if err := m.makeFolders(); err != nil {
		return err
	}
	if m.before != nil {
		l.live = true
		if err := m.note(l); err != nil {
			return err
		}
		for i := range m.folders { // a cpuset that was there may be empty, as a new one is
			if f := &m.folders[i]; f.found && f.has("cpuset") {
				if err := inheritCpuset(f.dir, f.mount, false); err != nil {
					return err
				}
			}
		}
	}
	if err := apply(l); err != nil {
		return err
	}
	return m.makeHome()
}

// makeFolders makes or takes all folders. Nothing is written before it is sure that the cgroup is nobody else's.
func (m *Manager) makeFolders() error {
	if len(m.Found()) > 0 {
		m.before = &Before{}
		if err := m.takeFound(); err != nil {
			return err
		}
	}
	if lead := m.lead(); lead.dir != "" && !lead.held {
		if err := m.makeFolder(lead); err != nil {
			return err
		}
	}
	err := m.all(func(f *folder) error {
		if f.held {
			return nil
		}
		return m.makeFolder(f)
	})
	if err != nil {
		return err
	}
	if frozen, err := m.Frozen(); err != nil || !frozen { // by one above
		return err
	}
	return existsFrozen()
}

// Undo removes the folders that were made for this Manager, the parents too, as far as nothing is in there, and gives back those that were found.
func (m *Manager) Undo() error {
	var errs []error
	m.all(func(f *folder) error {
		if f.held && f.found {
			errs = append(errs, m.giveBack(f))
			f.held = false
		}
		return nil
	})
	for i := len(m.made) - 1; i >= 0; i-- {
		unix.Rmdir(m.made[i])
	}
	m.made = nil
	return errors.Join(errs...)
}

// makeFolder makes one folder, and its parents where they are missing.
func (m *Manager) makeFolder(f *folder) error {
	existed, err := mkdirs(f.dir, f.mount, &m.made)
	if err != nil {
		return err
	}
	if existed {
		return fmt.Errorf("%w: %s was made meanwhile by another", ErrOccupied, f.dir)
	}
	f.held = true
	if f == m.lead() {
		if err := m.claim(f); err != nil {
			return err
		}
	}
	if f.has("cpuset") {
		return inheritCpuset(f.dir, f.mount, true)
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
