package cgroups

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// deleteLimit bounds the wait for processes that have been killed but are not out of the cgroup yet.
const deleteLimit = 10 * time.Second

// Delete removes the cgroup's folders, those below them first, and gives back those that were there before the container, as they were. Ones that are gone
// already are no error, so that it also cleans up after a runtime that was killed while it created or deleted. It kills nothing: it waits up to
// ten seconds for processes to leave, then gives an error that wraps EBUSY and names them. Parents stay, as others may use them, and so
// do folders of other containers.
func (m *Manager) Delete() error { return m.delete(deleteLimit) }

// DeleteEmpty is Delete for a cgroup that is likely to have no processes, nor cgroups below: it reports whether all folders are gone, and
// stops at the first one that cannot be removed. It looks at no list of processes, which Delete does not need but its callers do.
func (m *Manager) DeleteEmpty() bool {
	err := m.all(func(f *folder) error {
		if f.found {
			return unix.EEXIST
		}
		if err := unix.Rmdir(f.dir); err != unix.ENOENT {
			return err
		}
		return nil
	})
	return err == nil
}

func (m *Manager) delete(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	var errs []error
	m.ours(func(f *folder) error {
		r := removal{m: m, cgroup2: f == &m.unified, deadline: deadline, limit: limit}
		if !f.found || getTag(f.dir, forsaken) != "" {
			errs = append(errs, r.remove(f.dir))
			return nil
		}
		r.kept = []string{f.dir}
		if m.before != nil {
			r.kept = append(r.kept, m.before.Below...)
		}
		errs = append(errs, r.remove(f.dir), m.giveBack(f))
		return nil
	})
	return errors.Join(errs...)
}

// A removal removes folders.
type removal struct {
	m        *Manager
	cgroup2  bool
	kept     []string // folders that stay
	deadline time.Time
	limit    time.Duration
}

// remove removes a folder and those below it. One that has a folder of another container stays, as do kept ones.
func (r *removal) remove(dir string) error {
	for {
		if !slices.Contains(r.kept, dir) {
			switch err := unix.Rmdir(dir); err {
			case nil, unix.ENOENT:
				return nil
			case unix.EINTR:
				continue
			case unix.EBUSY: // processes, or folders
			default:
				return &os.PathError{Op: "remove cgroup", Path: dir, Err: err}
			}
		}
		if err := r.m.below(dir, r.remove); err != nil {
			return err
		}
		empty, err := r.m.waitFolder(dir, r.cgroup2, r.deadline)
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
