package host

import (
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/mountinfo"
	"github.com/orlop/orlop/libcontainer/internal/needs"
)

func featureNeed(name string) needs.Need { return needs.Need{Kind: needs.Feature, Name: name} }

// idMapped tries an id-mapped mount, attached nowhere, of each mounted filesystem type and of some
// that need no block device.
func (a *asking) idMapped() map[string]Answer {
	answers := make(map[string]Answer)
	points := a.mountPoints()
	users, err := idmap.New(idmap.Map{
		UIDs: []specs.LinuxIDMapping{{HostID: uint32(a.ids.uid), Size: 1}},
		GIDs: []specs.LinuxIDMapping{{HostID: uint32(a.ids.gid), Size: 1}},
	})
	if err != nil {
		for fstype := range points {
			answers[fstype] = Unknown
		}
		return answers
	}
	defer users.Close()
	for fstype, point := range points {
		fd, err := unix.OpenTree(unix.AT_FDCWD, point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		answers[fstype] = mappable(fd, err, users)
	}
	for _, fstype := range []string{"tmpfs", "ramfs", "overlay"} {
		if _, known := answers[fstype]; !known {
			fd, err := newMount(fstype)
			answers[fstype] = mappable(fd, err, users)
		}
	}
	return answers
}

// mappable tries to map the ids of a mount, and closes it.
func mappable(fd int, err error, users *os.File) Answer {
	if err != nil {
		return Unknown
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	switch err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); {
	case err == nil:
		return Yes
	case errors.Is(err, unix.EINVAL):
		return No
	}
	return Unknown
}

// newMount creates a filesystem and a mount of it that is attached nowhere.
func newMount(fstype string) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if fstype == "overlay" { // read-only, of directories that always exist
		if err := unix.FsconfigSetString(fs, "lowerdir", "/etc:/usr"); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// mountPoints returns a mount point for each mounted filesystem type.
func (a *asking) mountPoints() map[string]string {
	points := make(map[string]string)
	for m := range mountinfo.Mounts(a.text("/proc/self/mountinfo")) {
		if points[m.Type] == "" {
			points[m.Type] = m.Point
		}
	}
	return points
}
