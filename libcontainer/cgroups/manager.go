package cgroups

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// A Manager is one container's cgroup: its directory in each hierarchy. [New] returns one for a new
// container, [Load] one for a state record; the zero Manager is no cgroup: see None. Its methods
// must not be called concurrently, except where they say so.
type Manager struct {
	legacy  []directory // v1, one per hierarchy; see order
	unified directory   // dir is "" where there is no cgroup2

	unifiedLeads bool      // layout.Mode is Unified: cgroup2's controllers must be enabled
	delegated    string    // see Delegate
	owner        Owner     // see SetOwner
	memoryLater  bool      // see JoinMemoryLater
	devicesLeft  bool      // see LeaveDevices
	deferred     []setting // limits that the end of Spawn writes
	unifiedMade  bool      // CreateUnified was called
	made         []string  // directories that were made, the parents first
	before       *Before   // the state of those that were found; nil when there are none
}

// directory is a cgroup's directory in one hierarchy.
type directory struct {
	keys  []string // controllers, or "name=..."
	dir   string   // absolute
	mount string   // where the hierarchy is mounted; "" if unknown (from a state record)
	found bool     // it existed before the container
	held  bool     // it is the container's: made or taken over by Create, or from a state record
}

func (f *directory) has(controller string) bool { return slices.Contains(f.keys, controller) }

// New returns the manager of a container's cgroup; it touches no file.
//
// cgroupsPath is linux.cgroupsPath of the configuration. An absolute one is relative to the root of
// each hierarchy. A relative one is relative to the caller's own cgroup in that hierarchy, but in
// cgroup2 to the parent of that, since a cgroup2 with processes cannot delegate controllers to its
// children (on hybrid hosts, too, for instance if the kernel has no v1 memory controller). An empty
// one is the same as the relative path id. A path with ".." is an error.
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
		m.legacy = append(m.legacy, directory{keys: h.Keys(), dir: place(h.Mountpoint, h.Own), mount: h.Mountpoint})
	}
	m.order()
	if layout.Unified != "" {
		own := layout.UnifiedOwn
		if own != layout.Unified {
			own = path.Dir(own)
		}
		m.unified = directory{dir: place(layout.Unified, own), mount: layout.Unified}
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

// Load returns the manager of the cgroup with these paths, which [Manager.Paths] returned earlier.
// A zero Layout suffices unless directories must be created.
func Load(layout Layout, paths map[string]string) *Manager {
	m := &Manager{unifiedLeads: paths[""] != "" && !leads(slices.Collect(maps.Keys(paths)))}
	for _, key := range slices.Sorted(maps.Keys(paths)) {
		dir := paths[key]
		if key == "" {
			m.unified = directory{dir: dir, mount: layout.Unified, held: true}
			continue
		}
		if i := slices.IndexFunc(m.legacy, func(f directory) bool { return f.dir == dir }); i >= 0 {
			m.legacy[i].keys = append(m.legacy[i].keys, key)
			continue
		}
		f := directory{keys: []string{key}, dir: dir, held: true}
		for i := range layout.Hierarchies {
			if h := &layout.Hierarchies[i]; slices.Contains(h.Keys(), key) {
				f.mount = h.Mountpoint
			}
		}
		m.legacy = append(m.legacy, f)
	}
	m.order()
	return m
}

// None reports whether there is no cgroup, for a container that stays in its creator's. The zero
// Manager can only spawn.
func (m *Manager) None() bool { return len(m.legacy) == 0 && m.unified.dir == "" }

// Exists reports whether the cgroup, or a part of it, exists.
func (m *Manager) Exists() bool {
	return slices.ContainsFunc(m.all(), func(f *directory) bool { return exists(f.dir) })
}

func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }

// JoinMemoryLater removes the v1 memory hierarchy from Joins: the process joins it right before it executes its program. Otherwise the kernel's allocations for the
// setup (mounts, filesystems, namespaces: some 180 KiB) would be charged to the container
// permanently, and alone exceed a small limit. It must be called before Create and reports whether
// there is such a hierarchy. On cgroup2 a process cannot move itself without the wait that Spawn
// avoids.
func (m *Manager) JoinMemoryLater() bool {
	m.memoryLater = m.v1("memory") != nil
	return m.memoryLater
}

// SubError describes an invalid argument of Sub.
type SubError struct{ Sub, Problem string }

func (e *SubError) Error() string { return fmt.Sprintf("cgroup %q: %s", e.Sub, e.Problem) }

// Sub returns the manager of existing cgroups below the container's, for exec --cgroup: "PATH" in
// all hierarchies, or, any number of times, "CONTROLLER[,CONTROLLER...]:PATH" in those of these
// controllers only (v1; named ones as "name=..."; "" is cgroup2). A path with ".." is an error; "/"
// is the container's own cgroup. Spawn notices missing directories. The error is a *SubError.
func (m *Manager) Sub(subs ...string) (*Manager, error) {
	s := m.clone()
	changed := make(map[*directory]int) // which of subs changed it, from 1
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
		if !limited {
			for _, f := range s.all() {
				f.dir = path.Join(f.dir, unsafePath)
			}
			return s, nil
		}
		for controller := range strings.SplitSeq(list, ",") {
			f := s.v1(controller)
			if controller == "" && s.unified.dir != "" {
				f = &s.unified
			}
			if f == nil {
				return nil, &SubError{sub, fmt.Sprintf("no v1 hierarchy has the controller %q (\"PATH\" alone applies to all hierarchies)", controller)}
			}
			switch changed[f] {
			case 0:
				changed[f], f.dir = i+1, path.Join(f.dir, unsafePath)
			case i + 1: // cpu and cpuacct are usually one hierarchy
			default:
				return nil, &SubError{sub, fmt.Sprintf("there are two paths for %q", f.name())}
			}
		}
	}
	return s, nil
}

// clone returns a copy with its own directories.
func (m *Manager) clone() *Manager {
	return &Manager{legacy: slices.Clone(m.legacy), unified: m.unified, unifiedLeads: m.unifiedLeads, memoryLater: m.memoryLater, owner: m.owner}
}

// order puts last what a process joins last: the freezer, in which it may stop.
func (m *Manager) order() {
	if i := slices.IndexFunc(m.legacy, func(f directory) bool { return f.has("freezer") }); i >= 0 {
		f := m.legacy[i]
		m.legacy = append(slices.Delete(m.legacy, i, i+1), f)
	}
}

// Paths returns the absolute directories for the state record: by the name of each v1 controller or
// named hierarchy ("name=systemd"), and by "" for cgroup2.
func (m *Manager) Paths() map[string]string {
	paths := make(map[string]string, len(m.legacy)+1)
	for i := range m.legacy {
		for _, key := range m.legacy[i].keys {
			paths[key] = m.legacy[i].dir
		}
	}
	if m.unified.dir != "" {
		paths[""] = m.unified.dir
	}
	return paths
}

// v1 returns the directory in the v1 hierarchy with the controller, or nil.
func (m *Manager) v1(controller string) *directory {
	for i := range m.legacy {
		if m.legacy[i].has(controller) {
			return &m.legacy[i]
		}
	}
	return nil
}

// ours returns the directories of the container.
func (m *Manager) ours() []*directory {
	return slices.DeleteFunc(m.all(), func(f *directory) bool { return !m.mine(f) })
}

// mine reports whether a directory is the container's, so that its processes may be killed and it
// may be removed.
func (m *Manager) mine(f *directory) bool { return f.held && !m.foreign(f.dir) }

// all returns the directories, v1's and then cgroup2's.
func (m *Manager) all() []*directory {
	list := make([]*directory, 0, len(m.legacy)+1)
	for i := range m.legacy {
		list = append(list, &m.legacy[i])
	}
	if m.unified.dir != "" {
		list = append(list, &m.unified)
	}
	return list
}
