package specconv

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// idMapOption parses crun's option "idmap=uids=0-1000-10#10-2000-5;gids=@0-0-100", or ridmap, and
// returns what is wrong with it. A range is its first id in the filesystem, its first id on the
// host, and its length. With "@", the second is an id of the container.
func (c *checker) idMapOption(m *Mount, option string) (problem string) {
	name, value, _ := strings.Cut(option, "=")
	with := &MountIDMap{Recursive: name == "ridmap"}
	m.IDMap = with
	for list := range strings.SplitSeq(value, ";") {
		kind, ranges, _ := strings.Cut(list, "=")
		var own []specs.LinuxIDMapping // of the container
		to := &with.UIDs
		switch kind {
		case "":
			continue
		case "uids":
			if c.spec.Linux != nil {
				own = c.spec.Linux.UIDMappings
			}
		case "gids":
			to = &with.GIDs
			if c.spec.Linux != nil {
				own = c.spec.Linux.GIDMappings
			}
		default:
			return strconv.Quote(kind) + " is neither uids nor gids"
		}
		for text := range strings.SplitSeq(ranges, "#") {
			one, problem := idRange(text, own)
			if problem != "" {
				return problem
			}
			*to = append(*to, one)
		}
	}
	switch {
	case (len(with.UIDs) == 0) != (len(with.GIDs) == 0):
		return "needs both uids and gids, or neither"
	}
	return ""
}

// idRange parses a range. own is the container's map.
func idRange(text string, own []specs.LinuxIDMapping) (r specs.LinuxIDMapping, problem string) {
	plain, relative := strings.CutPrefix(text, "@")
	fields := strings.Split(plain, "-")
	var ids [3]uint32
	if len(fields) != len(ids) {
		return r, strconv.Quote(text) + " is no range of ids: three numbers such as 0-1000-10"
	}
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return r, strconv.Quote(text) + " is no range of ids: three numbers such as 0-1000-10"
		}
		ids[i] = uint32(n)
	}
	r = specs.LinuxIDMapping{ContainerID: ids[0], HostID: ids[1], Size: ids[2]}
	switch {
	case r.Size == 0 || r.ContainerID+(r.Size-1) < r.ContainerID || r.HostID+(r.Size-1) < r.HostID:
		return r, strconv.Quote(text) + " is no range of ids: its length is wrong"
	case !relative:
		return r, ""
	}
	for _, m := range own {
		if first := r.HostID - m.ContainerID; r.HostID >= m.ContainerID && first < m.Size && r.Size <= m.Size-first {
			r.HostID = m.HostID + first
			return r, ""
		}
	}
	return r, strconv.Quote(text) + " is not in one range of the container's user namespace, as linux.uidMappings and linux.gidMappings have them"
}

// HostID returns the parent namespace's id for an id of a user namespace, and whether it is mapped.
func HostID(list []specs.LinuxIDMapping, n uint32) (uint32, bool) {
	for _, m := range list {
		if n >= m.ContainerID && n-m.ContainerID < m.Size {
			return m.HostID + n - m.ContainerID, true
		}
	}
	return 0, false
}
