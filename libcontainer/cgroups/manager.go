package cgroups

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// A Manager is one container's cgroup: its folder in each hierarchy. It is made by [New] for a new container, by
// [Load] for one from a state record; the zero one is no cgroup: see None. Its methods may not be called at the same time, but where they say so.
type Manager struct {
	folders []folder // v1, one per hierarchy; see order
	unified folder   // dir is "" where there is no cgroup2

	unifiedLeads bool      // layout.Mode is Unified: cgroup2's controllers are to be enabled
	delegated    string    // see Delegate
	owner        Owner     // see SetOwner
	memoryLater  bool      // see JoinMemoryLater
	devicesLeft  bool      // see LeaveDevices
	late         []setting // limits to be written at the end of Spawn
	birthplace   bool      // CreateBirthplace was called
	made         []string  // folders that were made, the parents first
	before       *Before   // what those that were found were like; nil when there are none
}

// folder is a cgroup's folder in one hierarchy.
type folder struct {
	keys  []string // controllers, or "name=..."
	dir   string   // absolute
	mount string   // where the hierarchy is mounted; "" when it is not known (from a state record)
	found bool     // it was there before the container
	held  bool     // it is the container's: Create has made it or taken it, or it is from a state record
}

func (f *folder) has(controller string) bool { return slices.Contains(f.keys, controller) }

// New gives the manager of a container's cgroup; it touches no file.
//
// cgroupsPath is linux.cgroupsPath of the configuration. An absolute one is taken from the root of each hierarchy. A
// relative one is taken from the caller's own cgroup in that hierarchy, but in cgroup2 from that one's parent, since a
// cgroup2 that has processes cannot give controllers to its children (on hybrid hosts too, where the kernel has lost v1's memory
// controller, say). An empty one is the same as the relative path id. A path with ".." is an error.
func New(layout Layout, cgroupsPath, id string) (*Manager, error) {
	inner := cgroupsPath
	if inner == "" {
		inner = id
	}
	if err := checkPath(inner); err != nil {
		return nil, specconv.Invalid("linux.cgroupsPath", fmt.Sprintf("%q: %v", inner, err))
	}
	place := func(mount, own string) string {
		if strings.HasPrefix(inner, "/") {
			return path.Join(mount, inner)
		}
		return path.Join(own, inner)
	}
	m := &Manager{unifiedLeads: layout.Mode == Unified}
	for i := range layout.Hierarchies {
		h := &layout.Hierarchies[i]
		m.folders = append(m.folders, folder{keys: h.Keys(), dir: place(h.Mountpoint, h.Own), mount: h.Mountpoint})
	}
	m.order()
	if layout.Unified != "" {
		own := layout.UnifiedOwn
		if own != layout.Unified {
			own = path.Dir(own)
		}
		m.unified = folder{dir: place(layout.Unified, own), mount: layout.Unified}
	}
	return m, nil
}

func checkPath(p string) error {
	if strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("must not have a NUL byte")
	}
	named := false
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "..":
			return fmt.Errorf("must not have a \"..\"")
		case "", ".":
		default:
			named = true
		}
	}
	if !named {
		return fmt.Errorf("must name a cgroup below the root")
	}
	return nil
}

// Load gives the manager of the cgroup with these paths, which [Manager.Paths] gave once. The zero Layout will do for all but making
// folders, and spares reading it.
func Load(layout Layout, paths map[string]string) *Manager {
	m := &Manager{unifiedLeads: paths[""] != "" && !leads(slices.Collect(maps.Keys(paths)))}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		dir := paths[key]
		if key == "" {
			m.unified = folder{dir: dir, mount: layout.Unified, held: true}
			continue
		}
		if i := slices.IndexFunc(m.folders, func(f folder) bool { return f.dir == dir }); i >= 0 {
			m.folders[i].keys = append(m.folders[i].keys, key)
			continue
		}
		f := folder{keys: []string{key}, dir: dir, held: true}
		for i := range layout.Hierarchies {
			if h := &layout.Hierarchies[i]; slices.Contains(h.Keys(), key) {
				f.mount = h.Mountpoint
			}
		}
		m.folders = append(m.folders, f)
	}
	m.order()
	return m
}

// None reports whether there is no cgroup, for a container that stays in that of whoever makes it. All that can be done with the zero
// Manager is to spawn.
func (m *Manager) None() bool { return len(m.folders) == 0 && m.unified.dir == "" }

// Exists reports whether the cgroup, or a part of it, is there.
func (m *Manager) Exists() bool {
	found := false
	m.all(func(f *folder) error {
		var st unix.Stat_t
		found = found || unix.Stat(f.dir, &st) == nil
		return nil
	})
	return found
}

// JoinMemoryLater takes the v1 memory hierarchy out of Joins: the process joins it by what MemoryTasks gives, right before it executes its
// program. What the kernel allocates for the set-up (mounts, file systems, namespaces: some 180 KiB) would be charged to the
// container for good otherwise, and a small limit be exceeded by that alone. It is to be called before Create and reports whether
// there is such a hierarchy. On cgroup2 a process cannot move itself without the wait that Spawn avoids.
func (m *Manager) JoinMemoryLater() bool {
	m.memoryLater = m.v1("memory") != nil
	return m.memoryLater
}

// MemoryTasks opens the file by which a process joins the memory hierarchy.
func (m *Manager) MemoryTasks() (*os.File, error) {
	return sys.Open(m.v1("memory").dir+"/tasks", unix.O_WRONLY)
}

// SubError says what is wrong with a cgroup that Sub is given.
type SubError struct{ Sub, Problem string }

func (e *SubError) Error() string { return fmt.Sprintf("cgroup %q: %s", e.Sub, e.Problem) }

// Sub gives the manager of existing cgroups below the container's, for exec --cgroup: "PATH" in all hierarchies, or, as often as wanted,
// "CONTROLLER[,CONTROLLER...]:PATH" in those of these controllers alone (v1; named ones as "name=..."; "" is cgroup2). A path with ".." is an
// error; "/" is the container's own cgroup. That the folders are there shows at Spawn.
// The error is a *SubError.
func (m *Manager) Sub(subs ...string) (*Manager, error) {
	s := m.clone()
	changed := make(map[*folder]int) // by which of subs, from 1
	for i, sub := range subs {
		list, unsafePath, limited := strings.Cut(sub, ":")
		if !limited {
			unsafePath = sub
		}
		if err := checkPath(unsafePath + "/x"); err != nil {
			return nil, &SubError{sub, err.Error()}
		}
		if !limited && len(subs) > 1 {
			return nil, &SubError{sub, "must be the only one, or CONTROLLER:PATH"}
		}
		below := func(f *folder) error {
			switch changed[f] {
			case 0:
				changed[f], f.dir = i+1, path.Join(f.dir, unsafePath)
			case i + 1: // cpu and cpuacct are one hierarchy, mostly
			default:
				return &SubError{sub, fmt.Sprintf("there are two paths for %q", strings.Join(f.keys, ","))}
			}
			return nil
		}
		if !limited {
			return s, s.all(below)
		}
		for controller := range strings.SplitSeq(list, ",") {
			f := s.v1(controller)
			if controller == "" && s.unified.dir != "" {
				f = &s.unified
			}
			if f == nil {
				return nil, &SubError{sub, fmt.Sprintf("no v1 hierarchy has the controller %q (\"PATH\" alone is for all that there are)", controller)}
			}
			if err := below(f); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// clone gives a manager with folders of its own.
func (m *Manager) clone() *Manager {
	return &Manager{folders: slices.Clone(m.folders), unified: m.unified, unifiedLeads: m.unifiedLeads, memoryLater: m.memoryLater, owner: m.owner}
}

// order puts last what a process is to join last: the freezer, where it may have to stop.
func (m *Manager) order() {
	if i := slices.IndexFunc(m.folders, func(f folder) bool { return f.has("freezer") }); i >= 0 {
		f := m.folders[i]
		m.folders = append(slices.Delete(m.folders, i, i+1), f)
	}
}

// Paths gives the absolute folders for the state record: under the name of each v1 controller or named
// hierarchy ("name=systemd"), and under "" the one in cgroup2.
func (m *Manager) Paths() map[string]string {
	paths := make(map[string]string, len(m.folders)+1)
	for i := range m.folders {
		for _, key := range m.folders[i].keys {
			paths[key] = m.folders[i].dir
		}
	}
	if m.unified.dir != "" {
		paths[""] = m.unified.dir
	}
	return paths
}

// v1 gives the folder in the v1 hierarchy that has the controller, or nil.
func (m *Manager) v1(controller string) *folder {
	for i := range m.folders {
		if m.folders[i].has(controller) {
			return &m.folders[i]
		}
	}
	return nil
}

// ours calls f for each folder that is the container's, until f gives an error.
func (m *Manager) ours(f func(*folder) error) error {
	return m.all(func(x *folder) error {
		if !m.mine(x) {
			return nil
		}
		return f(x)
	})
}

// mine reports whether a folder is the container's, so that what is in there may be ended and removed.
func (m *Manager) mine(f *folder) bool { return f.held && !m.foreign(f.dir) }

// all calls f for each folder, v1 and cgroup2, until f gives an error.
func (m *Manager) all(f func(*folder) error) error {
	for i := range m.folders {
		if err := f(&m.folders[i]); err != nil {
			return err
		}
	}
	if m.unified.dir != "" {
		return f(&m.unified)
	}
	return nil
}
