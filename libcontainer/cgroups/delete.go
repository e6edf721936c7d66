package cgroups

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// deleteLimit bounds the wait for killed processes to leave the cgroup.
const deleteLimit = 10 * time.Second

// Delete removes the cgroup's directories, the innermost first, and restores those that existed
// before the container. Missing ones are no error, so it also cleans up after a runtime that was
// killed in create or delete. It does not kill: it waits up to ten seconds for processes to leave,
// then returns an error that wraps EBUSY and names them. Parents stay, because others may use them,
// and so do directories of other containers.
func (m *Manager) Delete() error { return m.delete(deleteLimit) }

// DeleteEmpty is Delete for a cgroup that is likely to have no processes and no children. It
// reports whether all directories are gone, and stops at the first one that cannot be removed.
// Unlike the callers of Delete, it does not read the list of processes.
func (m *Manager) DeleteEmpty() bool {
	return !slices.ContainsFunc(m.all(), func(f *directory) bool {
		if f.found {
			return true
		}
		err := unix.Rmdir(f.dir)
		return err != nil && err != unix.ENOENT
	})
}

func (m *Manager) delete(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	var errs []error
	for _, f := range m.ours() {
		r := removal{m: m, cgroup2: f == &m.unified, deadline: deadline, limit: limit}
		if !f.found || getTag(f.dir, forsaken) != "" {
			errs = append(errs, r.remove(f.dir))
			continue
		}
		r.kept = []string{f.dir}
		if m.before != nil {
			r.kept = append(r.kept, m.before.Below...)
		}
		errs = append(errs, r.remove(f.dir), m.giveBack(f))
	}
	return errors.Join(errs...)
}

// A removal removes directories.
type removal struct {
	m        *Manager
	cgroup2  bool
	kept     []string // directories that stay
	deadline time.Time
	limit    time.Duration
}

// remove removes a directory and those below it. Kept ones stay, and so do those with a directory
// of another container.
func (r *removal) remove(dir string) error {
	for {
		if !slices.Contains(r.kept, dir) {
			switch err := unix.Rmdir(dir); err {
			case nil, unix.ENOENT:
				return nil
			case unix.EINTR:
				continue
			case unix.EBUSY: // processes, or directories
			default:
				return &os.PathError{Op: "remove cgroup", Path: dir, Err: err}
			}
		}
		if err := r.m.below(dir, r.remove); err != nil {
			return err
		}
		empty, err := r.m.waitDirectory(dir, r.cgroup2, r.deadline)
		if err != nil {
			return err
		}
		if empty && (slices.Contains(r.kept, dir) || r.m.foreignBelow(dir)) {
			return nil
		}
		if !empty || !time.Now().Before(r.deadline) {
			return r.m.stillUsed("remove cgroup", dir, r.limit)
		}
	}
}
