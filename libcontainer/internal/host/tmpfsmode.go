package host

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// tmpfsModes returns the permission bits of the directories that tmpfs mounts without a mode will
// cover, by mount; nil without such mounts.
func tmpfsModes(b *specconv.Bundle) ([]uint32, error) {
	var modes []uint32
	for i := range b.Mounts {
		m := &b.Mounts[i]
		if m.Type != "tmpfs" || m.Bind || m.Remount || slices.ContainsFunc(m.Data, isMode) {
			continue
		}
		root, path := uncovered(b, i)
		if root == "" {
			continue
		}
		mode, err := modeIn(root, path)
		if err != nil {
			return nil, &specconv.FieldError{Path: jsonpath.Index("mounts", m.Index) + ".destination", Err: err}
		}
		put(&modes, b, i, mode)
	}
	return modes, nil
}

func isMode(option string) bool { return strings.HasPrefix(option, "mode=") }

// uncovered returns where the directory lies that mount i will cover: in the root filesystem, or in
// the source of an earlier bind mount. It returns "" for a directory of a new filesystem.
func uncovered(b *specconv.Bundle, i int) (root, path string) {
	root, path = b.Rootfs, b.Mounts[i].Destination
	for j := range i {
		m := &b.Mounts[j]
		rest, below := strings.CutPrefix(b.Mounts[i].Destination, strings.TrimSuffix(m.Destination, "/"))
		if m.Remount || !below || rest != "" && rest[0] != '/' {
			continue
		}
		root, path = "", rest
		if m.Bind {
			root = m.Source
		}
	}
	return root, path
}

// modeIn returns the permission bits of a directory below root, 0 if it does not exist. The content
// of root is hostile.
func modeIn(root, path string) (uint32, error) {
	dir, err := sys.Open(root, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil // an earlier mount will provide this source
	}
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	covered, err := sys.OpenInRoot(dir, path, unix.O_PATH|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return 0, nil // the mount itself will fail
	case err != nil:
		return 0, err
	}
	defer covered.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(covered.Fd()), &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Mode & 0o7777, nil
}
