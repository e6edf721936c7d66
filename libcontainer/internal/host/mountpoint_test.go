package host

import (
	"strings"
	"testing"
)

const someMounts = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /a\040b rw - tmpfs none rw
31 30 0:27 / /a\040b/c rw,nosuid master:3 propagate_from:2 - proc proc rw
32 30 0:28 / /a\040b/c rw - sysfs sysfs rw
33 30 0:29 / /a\040b/cd rw - devpts devpts rw
broken
`

// TestMountAbove: of several mounts on one point the last, and a name that another begins with is
// another's.
func TestMountAbove(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/ ext4", "/x": "/ ext4", "/a": "/ ext4", "/a b": "/a b tmpfs", "/a b/x": "/a b tmpfs", "/a b/c": "/a b/c sysfs",
		"/a b/c/d": "/a b/c sysfs", "/a b/cd": "/a b/cd devpts", "/a b/ce": "/a b tmpfs",
	} {
		if point, fstype := mountAbove(someMounts, path); point+" "+fstype != want {
			t.Errorf("%s is on %s %s, want %s", path, point, fstype, want)
		}
	}
}

// FuzzMountAbove: the mount point is the path or a directory above it.
func FuzzMountAbove(f *testing.F) {
	f.Add(someMounts, "/a b/c/d")
	f.Add("1 2 3 / / - -\n1 2 3 / \\134 rw - x", "/")
	f.Fuzz(func(t *testing.T, mountinfo, path string) {
		point, fstype := mountAbove(mountinfo, path)
		if point != "/" && point != path && !strings.HasPrefix(path, point+"/") {
			t.Errorf("%q is on %q", path, point)
		}
		if strings.ContainsAny(fstype, " \n") {
			t.Errorf("a type %q", fstype)
		}
	})
}
