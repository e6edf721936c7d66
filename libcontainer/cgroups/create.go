package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateUnified makes the cgroup2 directory in which a process starts, if there is cgroup2. Create
// then makes the others while SpawnEarly starts the process. It is for a cgroup of which Find has
// found nothing. If either fails, the caller must remove the directories with Undo.
func (m *Manager) CreateUnified() error {
	m.unifiedMade = true
	if m.unified.dir == "" {
		return nil
	}
	return m.makeDirectory(&m.unified)
}

// existsFrozen is the error for a cgroup in which no process could run.
func existsFrozen() error {
	return fmt.Errorf("create cgroup: it, or one above it, exists and is frozen: %w", ErrFrozen)
}

// Create makes the cgroup's directories, which belong to the container alone, and writes the
// limits. On failure it removes the directories that it made and restores those that Find had
// found, unless CreateUnified was called.
//
// The error is ErrFrozen if the cgroup, or one above it, is frozen, and ErrOccupied if it belongs
// to another container. A limit that cannot be set is a *ResourceError. Without permission it is
// fs.ErrPermission or EROFS.
func (m *Manager) Create(r *specs.LinuxResources) error {
	return m.create(r, func(l *limits) error {
		if !m.unifiedMade { // otherwise nothing is forked inside
			m.deferLimits(l.list)
		}
		return m.apply(r, l, m.write)
	})
}

// Prepare is Create without the limits, for a cgroup that systemd learns of once it has a process:
// systemd then writes limits of its own, and Limit comes after that.
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
		m.deferred = list
		return m.Tighten()
	})
	if err != nil {
		return err
	}
	return m.giveHome()
}

// create makes the directories and calls apply. If that fails, it removes the directories again,
// unless a process is started in them at the same time.
func (m *Manager) create(r *specs.LinuxResources, apply func(*limits) error) (err error) {
	l, err := m.limits(r, false) // before anything is made
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !m.unifiedMade {
			err = errors.Join(err, m.Undo())
		}
	}()
	if err := m.makeDirectories(); err != nil {
		return err
	}
	if m.before != nil {
		l.live = true
		if err := m.note(l); err != nil {
			return err
		}
		for i := range m.legacy { // an existing cpuset may be as empty as a new one
			if f := &m.legacy[i]; f.found && f.has("cpuset") {
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

// makeDirectories makes or takes over all directories. It writes nothing before it is certain that
// the cgroup belongs to nobody else.
func (m *Manager) makeDirectories() error {
	if len(m.Found()) > 0 {
		m.before = &Before{}
		if err := m.takeFound(); err != nil {
			return err
		}
	}
	if lead := m.lead(); lead.dir != "" && !lead.held {
		if err := m.makeDirectory(lead); err != nil {
			return err
		}
	}
	for _, f := range m.all() {
		if !f.held {
			if err := m.makeDirectory(f); err != nil {
				return err
			}
		}
	}
	if frozen, err := m.Frozen(); err != nil || !frozen { // by one above
		return err
	}
	return existsFrozen()
}

// Undo removes the directories that were made for this Manager, including parents, unless they are
// in use, and restores those that were found.
func (m *Manager) Undo() error {
	var errs []error
	for _, f := range m.all() {
		if f.held && f.found {
			errs = append(errs, m.giveBack(f))
			f.held = false
		}
	}
	for _, dir := range slices.Backward(m.made) {
		unix.Rmdir(dir)
	}
	m.made = nil
	return errors.Join(errs...)
}

// makeDirectory makes one directory, and its missing parents.
func (m *Manager) makeDirectory(f *directory) error {
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
	// The parents nearly always exist, so trying costs less than checking first.
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
