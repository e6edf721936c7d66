package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// ids are the caller's ids, and those of its user namespace.
type ids struct {
	uid, gid int
	// uids and gids are the maps of the user namespace.
	uids, gids []specs.LinuxIDMapping
}

func (a *asking) ownIDs() (own ids, err error) {
	own.uid, own.gid = os.Geteuid(), os.Getegid()
	if own.uids, err = a.idMap("/proc/self/uid_map"); err != nil {
		return own, err
	}
	if own.gids, err = a.idMap("/proc/self/gid_map"); err != nil {
		return own, err
	}
	return own, nil
}

// idMap reads a map. Kernels without user namespaces have no map, and all ids are valid.
func (a *asking) idMap(path string) ([]specs.LinuxIDMapping, error) {
	list, err := idmap.Read(a.root + path)
	if errors.Is(err, fs.ErrNotExist) {
		return idmap.Initial(), nil
	}
	return list, err
}

func (a *asking) userIDs(n needs.Need) error {
	return a.mappable(n.IDs, a.ids.uids, uint32(a.ids.uid), unix.CAP_SETUID, "/etc/subuid", "newuidmap")
}

func (a *asking) groupIDs(n needs.Need) error {
	return a.mappable(n.IDs, a.ids.gids, uint32(a.ids.gid), unix.CAP_SETGID, "/etc/subgid", "newgidmap")
}

// mappable checks whether the caller can map ids (user_namespaces(7)). Its own user namespace must
// have them. With a capability it can map any, without one its own, and by a set-user-ID program
// those that a file gives it.
func (a *asking) mappable(list, have []specs.LinuxIDMapping, own uint32, capability uint, file, program string) error {
	for _, m := range list {
		if !slices.ContainsFunc(have, func(h specs.LinuxIDMapping) bool { return within(m, h.ContainerID, h.Size) }) {
			return lacks("the host ids %s do not all exist in the caller's own user namespace", span(m))
		}
	}
	if a.has(capability) || len(list) == 1 && list[0].Size == 1 && list[0].HostID == own {
		return nil
	}
	ranges, err := a.subordinate(file)
	if err != nil {
		return err
	}
	ranges = append(ranges, subRange{own, 1})
	for _, m := range list {
		if !slices.ContainsFunc(ranges, func(r subRange) bool { return within(m, r.first, r.size) }) {
			return lacks("%s gives the caller no range with the host ids %s", file, span(m))
		}
	}
	if _, err := exec.LookPath(program); err != nil {
		return lacks("%s is not installed: an ordinary user needs it to map more than their own id", program)
	}
	return nil
}

// within reports whether the host ids of a mapping are all in a range.
func within(m specs.LinuxIDMapping, first, size uint32) bool {
	return m.HostID >= first && uint64(m.HostID)+uint64(m.Size) <= uint64(first)+uint64(size)
}

func span(m specs.LinuxIDMapping) string {
	if m.Size == 1 {
		return strconv.FormatUint(uint64(m.HostID), 10)
	}
	return fmt.Sprintf("%d-%d", m.HostID, uint64(m.HostID)+uint64(m.Size)-1)
}

// A subRange is a line of subuid(5) or subgid(5).
type subRange struct{ first, size uint32 }

// subordinate returns the ranges that file grants the caller by name or UID. Group ranges, too, are
// granted to users.
func (a *asking) subordinate(file string) ([]subRange, error) {
	data, err := os.ReadFile(a.root + file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	number := strconv.Itoa(a.ids.uid)
	name := number
	if u, err := user.LookupId(number); err == nil {
		name = u.Username
	}
	var list []subRange
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != name && f[0] != number {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		size, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil {
			list = append(list, subRange{uint32(first), uint32(size)})
		}
	}
	return list, nil
}
