package cgroups

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/orlop/orlop/libcontainer/internal/mountinfo"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// Mode is the way a host mounts its cgroup hierarchies.
type Mode int

const (
	None   Mode = iota // no hierarchy is mounted
	Legacy             // v1 hierarchies only
	Hybrid             // v1 hierarchies, and a cgroup2 one beside them
	// Unified is cgroup2, with v1 hierarchies only for what cgroup2 lacks (net_cls, net_prio, named
	// ones, ...).
	Unified
)

func (m Mode) String() string {
	return [...]string{"none", "legacy", "hybrid", "unified"}[m]
}

// A Hierarchy is one mounted cgroup v1 hierarchy.
type Hierarchy struct {
	Mountpoint string
	// Root is the directory of the hierarchy that is mounted there: "/" except in containers.
	Root string
	// Controllers are in the order of /proc/self/cgroup. A named hierarchy may have none.
	Controllers []string
	Name        string // "name=systemd"; "" for one that has controllers and no name
	Own         string // absolute directory of the caller's own cgroup
}

// Keys are the names of the hierarchy's directory: its controllers, or its "name=...".
func (h *Hierarchy) Keys() []string {
	if len(h.Controllers) == 0 {
		return []string{h.Name}
	}
	return h.Controllers
}

// A Layout describes the cgroup hierarchies of a host, as the calling process sees them.
type Layout struct {
	Mode        Mode
	Hierarchies []Hierarchy // v1
	Unified     string      // mount point of cgroup2; "" when there is none
	UnifiedOwn  string      // absolute directory of the caller's own cgroup there
}

// OwnPaths returns the directories of the caller's own cgroups, as [Manager.Paths] does for a
// container's.
func (l *Layout) OwnPaths() map[string]string {
	paths := make(map[string]string, len(l.Hierarchies)+1)
	for i := range l.Hierarchies {
		for _, key := range l.Hierarchies[i].Keys() {
			paths[key] = l.Hierarchies[i].Own
		}
	}
	if l.Unified != "" {
		paths[""] = l.UnifiedOwn
	}
	return paths
}

// ReadLayout reads the layout from /proc/self/mountinfo and /proc/self/cgroup.
func ReadLayout() (Layout, error) {
	l, err := layoutOf("self")
	if err != nil {
		return l, fmt.Errorf("read cgroup layout: %w", err)
	}
	return l, nil
}

// layoutOf returns the layout as a process with this PID would see it.
func layoutOf(pid string) (Layout, error) {
	own, err := sys.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return Layout{}, err
	}
	mounts, err := sys.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, err
	}
	return ParseLayout(mounts, own)
}

// ParseLayout derives the layout from /proc/PID/mountinfo and /proc/PID/cgroup (proc(5),
// cgroups(7)). Of several mounts of one hierarchy it takes the first that shows the process's own
// cgroup, else the first; a mount that is covered by another one does not count.
func ParseLayout(mounts, cgroup []byte) (Layout, error) {
	var l Layout
	own, err := parseOwn(cgroup)
	if err != nil {
		return l, err
	}
	chosen := make([]mountinfo.Mount, len(own))
	for m := range mountinfo.Mounts(string(mounts)) {
		choose(chosen, own, m)
	}
	for i := range own {
		o, m := &own[i], &chosen[i]
		if m.ID == "" {
			continue
		}
		ownDir := m.Point
		if rel, ok := below(m.Root, o.path); ok {
			ownDir = path.Join(m.Point, rel)
		}
		if o.unified {
			l.Unified, l.UnifiedOwn = m.Point, ownDir
			continue
		}
		l.Hierarchies = append(l.Hierarchies, Hierarchy{
			Mountpoint: m.Point, Root: m.Root, Controllers: o.controllers, Name: o.name, Own: ownDir,
		})
	}
	legacy := slices.ContainsFunc(l.Hierarchies, func(h Hierarchy) bool { return leads(h.Controllers) })
	switch {
	case len(l.Hierarchies) > 0 && l.Unified != "" && legacy:
		l.Mode = Hybrid
	case l.Unified != "":
		l.Mode = Unified
	case len(l.Hierarchies) > 0:
		l.Mode = Legacy
	}
	return l, nil
}

// leads reports whether v1 hierarchies with these controllers make a host with cgroup2 a hybrid
// one. net_cls alone does not: it is often mounted on a host that otherwise only has cgroup2.
func leads(controllers []string) bool {
	return slices.ContainsFunc(controllers, func(c string) bool {
		return slices.Contains([]string{"cpu", "memory", "pids", "devices", "freezer"}, c)
	})
}

// ownCgroup is one line of /proc/PID/cgroup: a hierarchy of the kernel, and the process's cgroup in
// it.
type ownCgroup struct {
	controllers []string
	name        string // "name=systemd"
	unified     bool
	path        string
}

// on reports whether a mount shows this hierarchy. The kernel's own list of controllers avoids a
// table that distinguishes "cpuacct" from "xattr".
func (o *ownCgroup) on(m mountinfo.Mount) bool {
	switch {
	case o.unified:
		return m.Type == "cgroup2"
	case m.Type != "cgroup":
		return false
	}
	want := o.name
	if want == "" {
		want = o.controllers[0]
	}
	return slices.Contains(strings.Split(m.Options, ","), want)
}

func parseOwn(cgroup []byte) ([]ownCgroup, error) {
	own := make([]ownCgroup, 0, 16)
	for line := range nonEmptyLines(string(cgroup)) {
		// hierarchy-ID:controller-list:cgroup-path; the path may contain colons.
		id, rest, ok1 := strings.Cut(line, ":")
		list, cgroupPath, ok2 := strings.Cut(rest, ":")
		if !ok1 || !ok2 || !strings.HasPrefix(cgroupPath, "/") {
			return nil, fmt.Errorf("parse /proc/self/cgroup: line %q: must be ID:CONTROLLERS:/PATH", line)
		}
		o := ownCgroup{path: cgroupPath, unified: id == "0" && list == ""}
		if !o.unified {
			for name := range strings.SplitSeq(list, ",") {
				if strings.HasPrefix(name, "name=") {
					o.name = name
				} else if name != "" {
					o.controllers = append(o.controllers, name)
				}
			}
			if o.name == "" && len(o.controllers) == 0 {
				// "5::/" is a hierarchy that was just unmounted, and has already lost its
				// controllers.
				continue
			}
		}
		own = append(own, o)
	}
	return own, nil
}

// choose keeps a mount when it is the best yet for one of the hierarchies.
func choose(chosen []mountinfo.Mount, own []ownCgroup, m mountinfo.Mount) {
	// A mount exactly on the mount point of another one hides that.
	for i, c := range chosen {
		if c.ID == m.Parent && c.Point == m.Point {
			chosen[i] = mountinfo.Mount{}
		}
	}
	i := slices.IndexFunc(own, func(o ownCgroup) bool { return o.on(m) })
	if i < 0 {
		return
	}
	shows := func(m mountinfo.Mount) bool { _, ok := below(m.Root, own[i].path); return ok }
	if chosen[i].ID == "" || shows(m) && !shows(chosen[i]) {
		chosen[i] = m
	}
}

// below returns p relative to root when p is root or below it. Both are absolute.
func below(root, p string) (string, bool) {
	if root == "/" {
		// "/.." and the like are cgroups outside the cgroup namespace.
		return strings.TrimPrefix(p, "/"), p != "/.." && !strings.HasPrefix(p, "/../")
	}
	if p == root {
		return "", true
	}
	rel, ok := strings.CutPrefix(p, root+"/")
	return rel, ok
}
