package needs

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// mounts adds the needs of the root filesystem and the mounts. A rehearsal shows how the kernel
// responds to the mounts themselves.
func (l *list) mounts() {
	for i := range l.bundle.Mounts {
		m := &l.bundle.Mounts[i]
		here := jsonpath.Index("mounts", m.Index)
		switch {
		case m.Remount:
		case m.Bind:
			l.add(here+".source", Need{Kind: Source, Name: m.Source})
		case m.Type == "cgroup" || m.Type == "cgroup2": // either is what the host has
		default:
			l.add(here+".type", Need{Kind: FileSystem, Name: m.Type})
			l.source(here, m)
		}
		l.attributes(here, m, l.spec.Mounts[m.Index].Options)
		if m.IDMap != nil {
			l.add(here, Need{Kind: Feature, Name: "idmapped mounts"})
			l.ids(here, m.IDMap.UIDs, m.IDMap.GIDs)
		}
	}
}

// source adds the sources of a new filesystem.
func (l *list) source(here string, m *specconv.Mount) {
	if m.Source != "" {
		l.add(here+".source", Need{Kind: Disk, Name: m.Source, Of: m.Type})
	}
	if m.Type != "overlay" {
		return
	}
	for _, option := range m.Data {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "lowerdir", "lowerdir+", "datadir+":
			for dir := range strings.SplitSeq(strings.ReplaceAll(value, "::", ":"), ":") {
				l.add(here+".options", Need{Kind: Path, Name: dir})
			}
		case "upperdir", "workdir":
			l.add(here+".options", Need{Kind: Path, Name: value})
		}
	}
}

// attributes adds the features that only newer kernels have.
func (l *list) attributes(here string, m *specconv.Mount, options []string) {
	const nosymfollow = unix.MOUNT_ATTR_NOSYMFOLLOW
	if (m.AttrSet|m.AttrClear|m.RecAttrSet|m.RecAttrClear)&nosymfollow == 0 {
		return
	}
	for i, o := range options {
		if strings.HasSuffix(o, "symfollow") {
			l.add(jsonpath.Index(here+".options", i), Need{Kind: Feature, Name: "nosymfollow"})
		}
	}
}

// devices adds the host's nodes where the container cannot make its own.
func (l *list) devices() {
	if !l.inUser && !l.caller.Nested {
		return
	}
	for i, d := range l.linux.Devices {
		if d.Type != "p" {
			l.add(jsonpath.Index("linux.devices", i)+".path", Need{Kind: Device, Name: d.Path})
		}
	}
}

// namespaces adds those that are made and those that are joined.
func (l *list) namespaces() {
	for _, n := range l.bundle.Namespaces {
		here := jsonpath.Index("linux.namespaces", n.Index)
		if n.Path != "" {
			l.add(here+".path", Need{Kind: NamespaceFile, Name: n.Path, Of: string(n.Type)})
			continue
		}
		l.add(here+".type", Need{Kind: Namespace, Name: string(n.Type)})
		if n.Type == specs.UserNamespace {
			l.ids("linux", l.linux.UIDMappings, l.linux.GIDMappings)
		}
	}
	if len(l.bundle.Namespaces) > 0 && !l.inUser {
		l.add("linux.namespaces", Need{Kind: Capability, Name: "CAP_SYS_ADMIN"})
	}
	for clock, offset := range sorted(l.linux.TimeOffsets) {
		l.add("linux.timeOffsets."+clock, Need{Kind: Clock, Name: clock, Of: strconv.FormatInt(offset.Secs, 10)})
	}
}

// ids adds the permission to map IDs.
func (l *list) ids(path string, uids, gids []specs.LinuxIDMapping) {
	if len(uids) > 0 {
		l.add(path+".uidMappings", Need{Kind: UserIDs, IDs: uids})
	}
	if len(gids) > 0 {
		l.add(path+".gidMappings", Need{Kind: GroupIDs, IDs: gids})
	}
}
