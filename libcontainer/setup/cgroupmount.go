package setup

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// mountCgroups shows the container its cgroups on a host with v1 hierarchies. It mounts a tmpfs
// with a directory for each hierarchy, and with a link for each controller of a hierarchy that has
// several.
type mountCgroups struct {
	specconv.Mount
	Options     []string
	Hierarchies []CgroupHierarchy
	// Namespace is set when the container has a cgroup namespace. Each hierarchy is then mounted as
	// the namespace shows it, otherwise the container's directory of it is bound.
	Namespace bool
}

func (mountCgroups) kind() kind { return kind{phaseMounts, "mount", ""} }

func (m mountCgroups) String() string {
	dirs := make([]string, len(m.Hierarchies))
	for i, h := range m.Hierarchies {
		dirs[i] = h.Dir
	}
	return "mount cgroup hierarchies on " + m.Destination + optionList(m.Options) + ": " + strings.Join(dirs, " ")
}

func (m mountCgroups) lower(l *lowering) {
	top := l.fd()
	const attributes = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	l.newMount(top, "tmpfs", "tmpfs", []string{"mode=755"}, attributes)
	l.move(top, l.mountPoint(m.Destination, aDirectory))
	for i := range m.Hierarchies {
		m.hierarchy(l, top, &m.Hierarchies[i])
	}
	// One call for the whole tree, now that it is complete. No other process could have seen it
	// before.
	all := unix.MountAttr{Attr_set: m.AttrSet | m.RecAttrSet, Attr_clr: m.AttrClear &^ (m.AttrSet | m.RecAttrSet) &^ unix.MOUNT_ATTR__ATIME}
	all.Attr_clr |= (m.AttrClear | m.RecAttrClear) & unix.MOUNT_ATTR__ATIME
	if all != (unix.MountAttr{}) {
		l.setattr(top, all, true)
	}
	if m.Propagation != 0 {
		l.setattr(top, unix.MountAttr{Propagation: m.Propagation &^ unix.MS_REC}, m.Propagation&unix.MS_REC != 0)
	}
	l.noteMount(m.Destination, top, false, false)
}

// hierarchy emits the mount of one hierarchy on a directory of the tmpfs, which no other process
// has written to.
func (m mountCgroups) hierarchy(l *lowering, top nsenter.Reg, h *CgroupHierarchy) {
	on, mount := l.prog.Reg(), l.prog.Reg()
	l.makeIn(top, h.Dir, aDirectory)
	l.open(on, top, h.Dir, unix.O_PATH|unix.O_DIRECTORY, 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
	if m.Namespace {
		l.newMount(mount, "cgroup", "cgroup", hierarchyParameters(h), 0)
	} else {
		l.hostTree(h.Path, 0).Result(mount)
	}
	l.move(mount, on)
	if len(h.Controllers) < 2 {
		return
	}
	for _, c := range h.Controllers {
		if name := strings.TrimPrefix(c, "name="); name != h.Dir {
			l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str(h.Dir), top}, name).Ignore(unix.EEXIST)
		}
	}
}

// hierarchyParameters returns the mount options that select an existing hierarchy. One without
// controllers needs "none".
func hierarchyParameters(h *CgroupHierarchy) []string {
	if len(h.Controllers) == 1 && strings.HasPrefix(h.Controllers[0], "name=") {
		return []string{"none", h.Controllers[0]}
	}
	return h.Controllers
}

// cgroupMount appends a mount of type cgroup or cgroup2.
func (b *builder) cgroupMount(field string, m *specconv.Mount, options []string) {
	// The kernel refuses cgroup mounts in a cgroup namespace that does not belong to the
	// container's user namespace.
	_, namespace := b.bundle.Namespace(specs.CgroupNamespace)
	namespace = namespace && !b.foreign(specs.CgroupNamespace)
	cg := &b.facts.Cgroup
	if m.Type == "cgroup" && !cg.Unified {
		// Hierarchies in which the container has no cgroup are not shown.
		var list []CgroupHierarchy
		for _, h := range cg.Hierarchies {
			if h.Path != "" && h.Dir != "" && h.Dir == path.Base(h.Dir) {
				list = append(list, h)
			}
		}
		b.add(field, mountCgroups{*m, options, list, namespace})
		return
	}
	if !namespace && cg.UnifiedPath != "" {
		// Without a namespace, a new mount would show the whole host, and would reset the
		// hierarchy's options to those given here.
		bind := *m
		bind.Bind, bind.Exact, bind.Type, bind.Source, bind.SuperFlags, bind.Data = true, false, "bind", cg.UnifiedPath, nil, nil
		b.add(field, bindMount{Mount: bind, Options: options})
		return
	}
	fresh := *m
	fresh.Type = "cgroup2"
	b.add(field, mountNew{Mount: fresh, Options: options})
}
