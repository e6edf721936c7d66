package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A container owns its cgroup alone: all processes in it and below are the container's. Create
// ensures that. An existing cgroup must have no process, and its directory carries the mark of the
// container that owns it: an extended attribute, which only one of several concurrent creators can
// set:
//
//	mkdir, or find it -> mark it, unless it has one -> check that it is empty and not frozen
//	-> limits, processes
//
// The mark is on the leading directory, and covers its counterparts: it costs as much as a few
// other system calls, and there may be ten hierarchies. Directories that existed before have one
// each. Where no attribute can be set (another user namespace, an old kernel), only the check for
// processes remains.

// ErrOccupied means that the cgroup for a container belongs to another one, or has processes.
var ErrOccupied = errors.New("the cgroup is in use")

// An Owner is the container that owns a cgroup.
type Owner interface {
	// Mark differs from that of any other container. The part after its first space names the
	// container in messages.
	Mark() string
	// Owns reports whether a mark is this container's.
	Owns(mark string) bool
	// Lives reports whether the container of a mark, which is another one, has not been deleted.
	Lives(mark string) bool
}

// SetOwner sets the cgroup's owner, before Create or after Load. Without an owner nothing is
// marked, and marks are ignored.
func (m *Manager) SetOwner(o Owner) { m.owner = o }

// The attributes: the owner's mark, and the note to the owner that the directory must be removed
// although it existed before. Only ordinary users, and root in a user namespace, use the second
// namespace of attributes, because they have no other. Everybody else ignores it: a container that
// may write in its cgroup can set anything there.
const (
	markName   = "orlop.container"
	forsaken   = "orlop.forsaken"
	trusted    = "trusted."
	ordinary   = "user."
	longestTag = 5000 // a path of 4096 bytes, an ID, a time
)

func getTag(dir, name string) string {
	buf := make([]byte, longestTag)
	n, err := unix.Getxattr(dir, trusted+name, buf)
	if err != nil && inUserNamespace() {
		n, err = unix.Getxattr(dir, ordinary+name, buf)
	}
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// setTag returns ENOTSUP where no attribute can be set.
func setTag(dir, name, value string, flags int) error {
	err := unix.Setxattr(dir, trusted+name, []byte(value), flags)
	if (err == unix.EPERM || err == unix.ENOTSUP) && inUserNamespace() {
		err = unix.Setxattr(dir, ordinary+name, []byte(value), flags)
	}
	if err == unix.EPERM || err == unix.EACCES {
		err = unix.ENOTSUP
	}
	return err
}

func removeTag(dir, name string) {
	for _, space := range [...]string{trusted, ordinary} {
		unix.Removexattr(dir, space+name) // it is in one of the two
	}
}

// foreign reports whether a directory of the cgroup, or one below, belongs to another container: by
// its mark, or that of its counterpart in the leading hierarchy. Without a mark, or with that of a
// deleted container, it does not.
func (m *Manager) foreign(dir string) bool {
	if m.owner == nil {
		return false
	}
	another := func(dir string) bool {
		mark := getTag(dir, markName)
		return mark != "" && !m.owner.Owns(mark) && m.owner.Lives(mark)
	}
	lead := m.counterpart(dir)
	return another(dir) || dir != lead && another(lead)
}

// counterpart returns the directory in the leading hierarchy that corresponds to dir.
func (m *Manager) counterpart(dir string) string {
	found := dir
	for _, f := range m.all() {
		if dir == f.dir || strings.HasPrefix(dir, f.dir+"/") {
			found = m.lead().dir + strings.TrimPrefix(dir, f.dir)
		}
	}
	return found
}

// lead returns the directory that decides who owns the cgroup.
func (m *Manager) lead() *directory {
	if m.unified.dir != "" || len(m.legacy) == 0 {
		return &m.unified
	}
	return &m.legacy[0]
}

// Dir returns the leading directory, for messages.
func (m *Manager) Dir() string { return m.lead().dir }

// claim marks a directory as the container's.
func (m *Manager) claim(f *directory) error {
	f.held = true
	if m.owner == nil {
		return nil
	}
	err := setTag(f.dir, markName, m.owner.Mark(), unix.XATTR_CREATE)
	if err == unix.EEXIST {
		err = m.takeOver(f)
	}
	switch {
	case err == nil || err == unix.ENOTSUP:
		return nil
	case errors.Is(err, ErrOccupied) && !f.found:
		// Another create has found the directory in the moment after it was made: its container
		// must remove it.
		f.held = false
		m.made = slices.DeleteFunc(m.made, func(dir string) bool { return dir == f.dir })
		setTag(f.dir, forsaken, "1", 0)
	case errors.Is(err, ErrOccupied):
		f.held = false
	default:
		f.held = false
		err = &os.PathError{Op: "mark cgroup", Path: f.dir, Err: err}
	}
	return err
}

// takeOver marks a directory that has the mark of a container that no longer exists but was not
// properly deleted.
func (m *Manager) takeOver(f *directory) error {
	fd, err := sys.OpenFd(f.dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Of two creators that find the same old mark, the second must see that of the first.
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: another container is being created in %s", ErrOccupied, f.dir)
	}
	switch mark := getTag(f.dir, markName); {
	case mark != "" && m.owner.Owns(mark):
		return nil
	case mark != "" && m.owner.Lives(mark):
		_, name, _ := strings.Cut(mark, " ")
		return fmt.Errorf("%w: %s belongs to the container of %s: choose another path, or delete that", ErrOccupied, f.dir, name)
	}
	return setTag(f.dir, markName, m.owner.Mark(), 0)
}

// Find checks, before Create, which of the cgroup's directories exist, and reports whether any
// does. Create makes the others, and fails if it finds that one was made meanwhile.
func (m *Manager) Find() bool {
	any := false
	for _, f := range m.all() {
		f.found = exists(f.dir)
		any = any || f.found
	}
	return any
}

// Found names the directories that Find has found, each by one of its keys in Paths.
func (m *Manager) Found() []string {
	var keys []string
	for _, f := range m.all() {
		if f.found {
			keys = append(keys, f.key())
		}
	}
	return keys
}

// SetFound says after Load which directories existed before the container, as named by Found. With
// unsure they may not have become the container's, and only count as such with its mark.
func (m *Manager) SetFound(keys []string, unsure bool) {
	for _, f := range m.all() {
		if f.found = slices.Contains(keys, f.key()); f.found && unsure {
			f.held = m.owner != nil && m.owner.Owns(getTag(f.dir, markName))
		}
	}
}

func (f *directory) key() string {
	if len(f.keys) == 0 {
		return ""
	}
	return f.keys[0]
}

// takeFound takes over existing directories for the container, if they have no processes.
func (m *Manager) takeFound() error {
	if frozen, err := m.Frozen(); err != nil {
		return err
	} else if frozen {
		return existsFrozen()
	}
	if err := m.checkEmpty(); err != nil {
		return err
	}
	for _, f := range m.all() {
		if f.found {
			if err := m.claim(f); err != nil {
				return err
			}
		}
	}
	// Another create may have put its process there, and been deleted, in between.
	return m.checkEmpty()
}

// checkEmpty looks for processes in the existing directories, and below.
func (m *Manager) checkEmpty() error {
	for _, f := range m.all() {
		if !f.found {
			continue
		}
		// Those of containers below count, too.
		pids, err := everybody.idsIn(f.dir, processes)
		if len(pids) > 0 {
			return fmt.Errorf("%w: container's cgroup is not empty: %d process(es) found in %s: %s: choose another path, or move them away",
				ErrOccupied, len(pids), f.dir, few(pids))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// everybody is a Manager that considers no directory foreign.
var everybody = &Manager{}

// few lists the first of many.
func few(pids []int) string {
	if len(pids) > 10 {
		return fmt.Sprint(pids[:10]) + " ..."
	}
	return fmt.Sprint(pids)
}
