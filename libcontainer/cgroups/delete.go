package cgroups

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// deleteLimit bounds the wait for processes that have been killed but are not out of the cgroup yet.
const deleteLimit = 10 * time.Second

// Delete removes the cgroup's folders, those below them first. Ones that are gone already are no error, so that it also
// cleans up after a runtime that was killed while it created or deleted. It kills nothing: it waits up to ten seconds for processes to
// leave, then gives an error that wraps EBUSY and names them. Parents stay, as others may use them.
func (m *Manager) Delete() error { return m.delete(deleteLimit) }

// DeleteEmpty is Delete for a cgroup that is likely to have no processes, nor cgroups below: it reports whether all folders are gone, and
// stops at the first one that cannot be removed. It looks at no list of processes, which Delete does not need but its callers do.
func (m *Manager) DeleteEmpty() bool {
	err := m.all(func(f *folder) error {
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
	m.all(func(f *folder) error {
		if err := remove(f.dir, f == &m.unified, deadline, limit); err != nil {
			errs = append(errs, err)
		}
		return nil
	})
	return errors.Join(errs...)
}

func remove(dir string, cgroup2 bool, deadline time.Time, limit time.Duration) error {
	for {
		switch err := unix.Rmdir(dir); err {
		case nil, unix.ENOENT:
			return nil
		case unix.EINTR:
			continue
		case unix.EBUSY: // processes, or folders
		default:
			return &os.PathError{Op: "remove cgroup", Path: dir, Err: err}
		}
		err := subfolders(dir, func(sub string) error { return remove(sub, cgroup2, deadline, limit) })
		if err != nil {
			return err
		}
		empty, err := waitFolder(dir, cgroup2, deadline)
		if err != nil {
			return err
		}
		if !empty || !time.Now().Before(deadline) {
			return stillUsed("remove cgroup", dir, limit)
		}
	}
}
