package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestRootfsPropagationEvents: which mounts of the host show in a container whose root filesystem
// is a shared mount there, how the container's root propagates its own mounts, and that none of
// these shows on the host.
func TestRootfsPropagationEvents(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 has no user namespaces without newuidmap's maps, and undoes unbindable")
	cases := []struct {
		mode  string
		sees  bool // the host's mounts on the root's own
		below bool // and on one below it
		field string
		binds bool
	}{
		{"", false, true, "-", true},
		{"slave", true, true, "master:", true},
		{"rslave", true, true, "master:", true},
		{"private", false, false, "-", true},
		{"rprivate", false, false, "-", true},
		{"shared", false, false, "shared:", true},
		{"rshared", false, false, "shared:", true},
		{"unbindable", false, false, "unbindable", false},
		{"runbindable", false, false, "unbindable", false},
	}
	kinds := users()
	kinds[" of an ordinary user"] = nop
	for in, user := range kinds {
		for _, tc := range cases {
			t.Run(tc.mode+in, func(t *testing.T) {
				b := harness.New(t, user, harness.Writable, harness.Caps("CAP_SYS_ADMIN"))
				own(t, b, 100000)
				if strings.Contains(in, "ordinary") {
					asOrdinary(t, b)
				}
				must(t, unix.Mount(b.Rootfs, b.Rootfs, "", unix.MS_BIND, ""))
				must(t, unix.Mount("", b.Rootfs, "", unix.MS_SHARED, ""))
				sub := filepath.Join(b.Rootfs, "root")
				must(t, unix.Mount("tmpfs", sub, "tmpfs", 0, ""))
				must(t, os.Mkdir(filepath.Join(sub, "x"), 0o755))
				b.Spec.Linux.RootfsPropagation = tc.mode
				mounts := func(pid string) string { return read(t, "/proc/"+pid+"/mountinfo") }
				before := mounts("self")
				pid := b.Up()
				of := strconv.Itoa(pid)
				if fields := strings.Fields(line(mounts(of), " / ")); len(fields) < 7 || !strings.HasPrefix(fields[6], tc.field) {
					t.Errorf("the root is %q, want %s", fields, tc.field)
				}
				must(t, unix.Mount("tmpfs", filepath.Join(b.Rootfs, "mnt"), "tmpfs", 0, ""))
				if sees := line(mounts(of), " /mnt ") != ""; sees != tc.sees {
					t.Errorf("sees the host's mount: %v, want %v", sees, tc.sees)
				}
				must(t, unix.Mount("tmpfs", filepath.Join(sub, "x"), "tmpfs", 0, ""))
				if sees := line(mounts(of), " /root/x ") != ""; sees != tc.below {
					t.Errorf("sees the host's mount below: %v, want %v", sees, tc.below)
				}
				b.OK("exec", b.ID, "mount", "-t", "tmpfs", "tmpfs", "/var")
				if line(mounts(of), " /var ") == "" || strings.Contains(mounts("self"), b.Rootfs+"/var ") {
					t.Errorf("a mount of the container: %s", mounts("self"))
				}
				if r := b.Do("exec", b.ID, "mount", "--rbind", "/", "/home"); (r.Status == 0) != tc.binds {
					t.Errorf("bind of the root: %+v", r)
				}
				b.OK("delete", "--force", b.ID)
				must(t, unix.Unmount(filepath.Join(b.Rootfs, "mnt"), 0))
				must(t, unix.Unmount(filepath.Join(sub, "x"), 0))
				if after := mounts("self"); after != before {
					t.Errorf("mounts are\n%s\nwere\n%s", after, before)
				}
				must(t, unix.Unmount(sub, 0))
				must(t, unix.Unmount(b.Rootfs, 0))
			})
		}
	}
}

// line returns the line of a text that contains what, "" if there is none.
func line(text, what string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, what) {
			return l
		}
	}
	return ""
}
