package specconv

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// mounts checks mounts and sets the bundle's Mounts.
func (c *checker) mounts(b *Bundle) {
	list := c.spec.Mounts
	if len(list) == 0 {
		return
	}
	if !c.has(specs.MountNamespace) {
		c.hostMounts()
	}
	b.Mounts = make([]Mount, len(list))
	for i := range list {
		b.Mounts[i] = c.mount(b.Dir, i, &list[i])
	}
}

// hostMounts checks a container that has mounts but no mount namespace of its own. The mounts are
// made in the runtime's mount namespace, which it inherits.
func (c *checker) hostMounts() {
	if c.has(specs.UserNamespace) { // which has no rights over the runtime's mounts
		c.needs(specs.MountNamespace, "mounts")
		return
	}
	c.warn("mounts", "are made in the runtime's mount namespace, where others see them, since the container has none of its own")
}

// mount checks and parses one entry of mounts.
func (c *checker) mount(dir string, index int, in *specs.Mount) Mount {
	m := Mount{Index: index, Type: in.Type, Source: in.Source}
	here := func(field string) string { return jsonpath.Index("mounts", index) + field }

	switch {
	case in.Destination == "":
		c.fault(here(".destination"), "is required")
	case hasNUL(in.Destination):
		c.fault(here(".destination"), nulProblem)
	case in.Destination[0] != '/':
		c.note(here(".destination"), "is relative, which is deprecated; taken from /")
	}
	m.Destination = path.Clean("/" + in.Destination)

	unknown := c.mountOptions(&m, in.Options)
	if in.Type == "bind" && !m.Bind && !m.Remount {
		c.note(here(".options"), "neither bind nor rbind is there; taken as bind because of the type")
		m.Bind = true
	}
	switch {
	case hasNUL(in.Type):
		c.fault(here(".type"), nulProblem)
	case !m.Bind && !m.Remount && in.Type == "":
		c.fault(here(".type"), "is required for a mount that is not a bind mount")
	}
	switch {
	case hasNUL(in.Source):
		c.fault(here(".source"), nulProblem)
	case m.Bind && in.Source == "" && !m.Remount:
		c.fault(here(".source"), "is required for a bind mount")
	}
	if m.Bind {
		m.Type = "bind"
		if m.Source != "" {
			m.Source = inBundle(dir, m.Source)
		}
		// These belong to the filesystem, which a bind mount only shows in another place.
		m.SuperFlags, m.Data = nil, nil
		for _, i := range unknown {
			c.bindOption(jsonpath.Index(here(".options"), i), in.Options[i])
		}
	}
	if (m.CopySymlink || m.SourceNoFollow || m.DestinationNoFollow) && !m.Bind {
		c.fault(here(".options"), "copy-symlink, src-nofollow and dest-nofollow are only for bind mounts")
	}
	if m.TmpCopyUp && m.Type != "tmpfs" {
		c.fault(here(".options"), "tmpcopyup is only for tmpfs")
	}
	c.procMount(&m)
	c.mountIDMaps(&m, in)
	return m
}

// mountOptions applies options to m and returns the indices of unknown ones, which are treated as
// filesystem-specific.
func (c *checker) mountOptions(m *Mount, options []string) (unknown []int) {
	for i, o := range options {
		switch {
		case hasNUL(o):
			c.fault(jsonpath.Index(jsonpath.Index("mounts", m.Index)+".options", i), nulProblem)
		case strings.HasPrefix(o, "idmap="), strings.HasPrefix(o, "ridmap="):
			if problem := c.idMapOption(m, o); problem != "" {
				c.fault(jsonpath.Index(jsonpath.Index("mounts", m.Index)+".options", i), problem)
			}
		case o != "" && !m.addOption(o):
			m.Data = append(m.Data, o)
			unknown = append(unknown, i)
		case o == "iversion":
			c.note(jsonpath.Index(jsonpath.Index("mounts", m.Index)+".options", i), "iversion has no effect: fsconfig(2) has no such flag")
		}
	}
	return unknown
}

// procMount rejects mounts that would replace the container's procfs or its files: security labels
// are written through it (CVE-2019-16884, CVE-2019-19921). Paths that lead below /proc through
// symlinks are detected during setup. The exceptions are runc's: files that lxcfs provides, and the
// host's procfs itself.
func (c *checker) procMount(m *Mount) {
	here := jsonpath.Index("mounts", m.Index) + ".destination"
	switch {
	case m.Remount:
	case m.Destination == "/proc":
		if m.Type != "proc" && (m.Type != "bind" || m.Source != "/proc") {
			c.fault(here, "/proc must be of type proc")
		}
	case strings.HasPrefix(m.Destination, "/proc/") && !mayCoverProcFile(m.Destination):
		c.fault(here, m.Destination+" is inside /proc, and must not be mounted over")
	}
}

// mayCoverProcFile reports whether a mount may cover a file of procfs.
func mayCoverProcFile(p string) bool {
	switch p {
	case "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
		"/proc/slabinfo", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled":
		return true
	}
	return false
}

// mountIDMaps checks the id maps of an id-mapped mount.
func (c *checker) mountIDMaps(m *Mount, in *specs.Mount) {
	here := jsonpath.Index("mounts", m.Index)
	if (len(in.UIDMappings) == 0) != (len(in.GIDMappings) == 0) {
		c.fault(here, "uidMappings and gidMappings must be given together")
	}
	c.idMap(here+".uidMappings", in.UIDMappings)
	c.idMap(here+".gidMappings", in.GIDMappings)
	if len(in.UIDMappings) > 0 {
		if m.IDMap != nil && len(m.IDMap.UIDs) > 0 {
			c.fault(here+".options", "idmap has a map, and so have uidMappings and gidMappings")
		}
		if m.IDMap == nil { // the options should contain it, too (config.md)
			m.IDMap = new(MountIDMap)
		}
		m.IDMap.UIDs, m.IDMap.GIDs = in.UIDMappings, in.GIDMappings
	}
	if m.IDMap == nil {
		return
	}
	if c.spec.Linux == nil || len(m.IDMap.UIDs) == 0 && !c.has(specs.UserNamespace) {
		c.fault(here+".options", "idmap needs uidMappings and gidMappings, or a user namespace to take them from")
	}
	switch {
	case m.Remount:
		c.fault(here+".options", "idmap is not for a remount")
	case m.TmpCopyUp:
		c.fault(here+".options", "idmap is not for a tmpfs with tmpcopyup")
	case m.Type == "cgroup" || m.Type == "cgroup2":
		c.fault(here+".options", "idmap is not for cgroups, whose files have no ids on a disk")
	}
}
