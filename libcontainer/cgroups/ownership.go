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

// A container owns its cgroup alone: all processes in it and below are the container's. Create sees to it. A cgroup that is there already
// must have no process, and the directory carries the mark of the container that it was given to, an extended attribute, which only one of
// several that try at the same time can set:
//
//	mkdir, or find it  ->  mark it, unless it has one  ->  is it empty, is it frozen  ->  limits, processes
//
// The mark is on the leading directory, and counts for its counterparts: it costs as much as some other system calls, and there may be ten
// hierarchies. Directories that were there before have one each. Where no attribute can be set (another user namespace, an old kernel) only the look for processes is left.

// ErrOccupied says that a cgroup that a container is to have is another's, or has processes.
var ErrOccupied = errors.New("the cgroup is in use")

// An Owner is the container that a cgroup is for.
type Owner interface {
	// Mark is unlike that of any other container. What follows its first space names the container in messages.
	Mark() string
	// Owns reports whether a mark is this container's.
	Owns(mark string) bool
	// Lives reports whether the container of a mark, which is another's, has not been deleted.
	Lives(mark string) bool
}

// SetOwner says whose the cgroup is, before Create or after Load. Without an owner nothing is marked, and no mark counts.
func (m *Manager) SetOwner(o Owner) { m.owner = o }

// The attributes: the owner's mark, and what tells the owner that the directory is to be removed although it was found. Ordinary users, and
// root in a user namespace, have but the second name space. Everybody else disregards it: a container
// that may write in its cgroup sets there what it likes.
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
		unix.Removexattr(dir, space+name) // it is in one of both
	}
}

// foreign reports whether a folder of the cgroup, or one below, belongs to another container: by its mark, or that of its counterpart in the leading
// hierarchy. One whose mark is missing, or of a container that is no more, does not.
func (m *Manager) foreign(dir string) bool {
	if m.owner == nil {
		return false
	}
	lead, another := m.counterpart(dir), false
	for _, marked := range [...]string{dir, lead} {
		mark := getTag(marked, markName)
		another = another || mark != "" && !m.owner.Owns(mark) && m.owner.Lives(mark)
		if dir == lead {
			break
		}
	}
	return another
}

// counterpart is the folder in the leading hierarchy that has the same place in the cgroup.
func (m *Manager) counterpart(dir string) string {
	found := dir
	m.all(func(f *folder) error {
		if dir == f.dir || strings.HasPrefix(dir, f.dir+"/") {
			found = m.lead().dir + strings.TrimPrefix(dir, f.dir)
		}
		return nil
	})
	return found
}

// lead is the folder that decides whose the cgroup is.
func (m *Manager) lead() *folder {
	if m.unified.dir != "" || len(m.folders) == 0 {
		return &m.unified
	}
	return &m.folders[0]
}

// Dir is the leading one of the cgroup's folders, to be named in messages.
func (m *Manager) Dir() string { return m.lead().dir }

// claim marks a folder as the container's.
func (m *Manager) claim(f *folder) error {
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
		// Another create has found the folder in the moment after it was made: it is to go with that one's container.
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

// takeOver marks a folder that has the mark of a container that was not deleted in the usual way, but is no more.
func (m *Manager) takeOver(f *folder) error {
	fd, err := sys.OpenFd(f.dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Of two that find the same old mark, the second must see that of the first.
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

// Find looks which of the cgroup's folders are there before Create, and reports whether any is. Create makes the others, and fails if it
// finds one made meanwhile.
func (m *Manager) Find() bool {
	any := false
	m.all(func(f *folder) error {
		var st unix.Stat_t
		f.found = unix.Stat(f.dir, &st) == nil
		any = any || f.found
		return nil
	})
	return any
}

// Found names the folders that Find has found, by one of their keys in Paths each.
func (m *Manager) Found() []string {
	var keys []string
	m.all(func(f *folder) error {
		if f.found {
			keys = append(keys, f.key())
		}
		return nil
	})
	return keys
}

// SetFound says after Load which folders were there before the container, as Found has named them. With unsure they may not have become the container's, and are
// only if they have its mark.
func (m *Manager) SetFound(keys []string, unsure bool) {
	m.all(func(f *folder) error {
		if f.found = slices.Contains(keys, f.key()); f.found && unsure {
			f.held = m.owner != nil && m.owner.Owns(getTag(f.dir, markName))
		}
		return nil
	})
}

func (f *folder) key() string {
	if len(f.keys) == 0 {
		return ""
	}
	return f.keys[0]
}

// takeFound takes the folders that were there for the container, if nobody is in them.
func (m *Manager) takeFound() error {
	if frozen, err := m.Frozen(); err != nil {
		return err
	} else if frozen {
		return existsFrozen()
	}
	if err := m.nobodyThere(); err != nil {
		return err
	}
	err := m.all(func(f *folder) error {
		if !f.found {
			return nil
		}
		return m.claim(f)
	})
	if err != nil {
		return err
	}
	return m.nobodyThere() // another create may have put its process there, and been deleted, in between
}

// nobodyThere looks for processes in the folders that were there, and below.
func (m *Manager) nobodyThere() error {
	return m.all(func(f *folder) error {
		if !f.found {
			return nil
		}
		// Those of containers below count, too.
		var pids []int
		if err := everybody.members(f.dir, &pids); err != nil || len(pids) == 0 {
			return err
		}
		return fmt.Errorf("%w: container's cgroup is not empty: %d process(es) found in %s: %s: choose another path, or move them away",
			ErrOccupied, len(pids), f.dir, few(pids))
	})
}

// everybody is a Manager to whom no folder is foreign.
var everybody = &Manager{}

// few lists the first of many.
func few(pids []int) string {
	if len(pids) > 10 {
		return fmt.Sprint(pids[:10]) + " ..."
	}
	return fmt.Sprint(pids)
}
