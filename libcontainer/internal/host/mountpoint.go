package host

import (
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/libcontainer/internal/mountinfo"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// MountOf returns the mount point that holds path, and the type of its filesystem.
func MountOf(path string) (point, fstype string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", "", err
	}
	data, err := sys.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	point, fstype = mountAbove(string(data), real)
	return point, fstype, nil
}

// mountAbove finds the mount that holds a path in the text of a mountinfo file.
func mountAbove(text, path string) (point, fstype string) {
	point = "/"
	for m := range mountinfo.Mounts(text) {
		if p := m.Point; len(p) >= len(point) && (p == "/" || path == p || strings.HasPrefix(path, p+"/")) {
			point, fstype = p, m.Type
		}
	}
	return point, fstype
}
