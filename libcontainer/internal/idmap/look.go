package idmap

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// Of returns the map of a process's user namespace. Its host IDs are those of the caller's own
// namespace.
func Of(pid int) (Map, error) {
	var m Map
	var err error
	dir := "/proc/" + strconv.Itoa(pid)
	if m.UIDs, err = Read(dir + "/uid_map"); err == nil {
		m.GIDs, err = Read(dir + "/gid_map")
	}
	return m, err
}

// OfFile returns the map of the user namespace of a file, and whether setgroups(2) is denied there.
// A namespace only shows that through its processes, so one joins it for a moment.
func OfFile(ns *os.File) (m Map, denied bool, err error) {
	holder, err := visit(ns)
	if err != nil {
		return m, false, fmt.Errorf("inspect the user namespace: %w", err)
	}
	if m, err = Of(holder.Pid); err == nil {
		denied, err = SetgroupsDenied(holder.Pid)
	}
	err = errors.Join(err, holder.Kill())
	holder.Close()
	return m, denied, err
}

// Own reports whether the caller is in a user namespace that is not the initial one. Even root may
// not make device nodes or raise limits there.
func Own() (bool, error) {
	list, err := Read("/proc/self/uid_map")
	if errors.Is(err, os.ErrNotExist) { // a kernel without user namespaces
		return false, nil
	}
	return err == nil && Nested(list), err
}

// Nested reports whether a map of user IDs is not that of the initial user namespace.
func Nested(list []specs.LinuxIDMapping) bool { return !slices.Equal(list, Initial()) }

// Initial returns the map of the initial user namespace.
func Initial() []specs.LinuxIDMapping { return []specs.LinuxIDMapping{{Size: 1<<32 - 1}} }

// SetgroupsDenied reports whether setgroups(2) is denied in the user namespace of a process.
func SetgroupsDenied(pid int) (bool, error) {
	data, err := sys.ReadFile("/proc/" + strconv.Itoa(pid) + "/setgroups")
	return strings.TrimSpace(string(data)) == "deny", err
}

// Owned reports whether the namespace ns belongs to the user namespace user. The kernel only tells
// the caller about its own user namespace and those below it: for others, the answer is no.
func Owned(ns, user *os.File) (bool, error) {
	fd, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_USERNS)
	if errors.Is(err, unix.EPERM) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: ioctl NS_GET_USERNS: %w", ns.Name(), err)
	}
	defer unix.Close(fd)
	var owner, other unix.Stat_t
	if err := unix.Fstat(fd, &owner); err != nil {
		return false, err
	}
	if err := unix.Fstat(int(user.Fd()), &other); err != nil {
		return false, err
	}
	return owner.Dev == other.Dev && owner.Ino == other.Ino, nil
}

// Read reads a map, /proc/PID/uid_map or gid_map.
func Read(path string) ([]specs.LinuxIDMapping, error) {
	data, err := sys.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parseMap(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// parseMap parses the kernel's text of a map: three numbers per line.
func parseMap(data string) ([]specs.LinuxIDMapping, error) {
	var list []specs.LinuxIDMapping
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %q: must be three numbers", line)
		}
		var n [3]uint32
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				return nil, err
			}
			n[i] = uint32(v)
		}
		list = append(list, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return list, nil
}
