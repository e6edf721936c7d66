package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestBindSourceInRoot: the source of a bind mount may be what an earlier mount provides in the
// root filesystem.
func TestBindSourceInRoot(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 looks for the sources on the host when it has a user namespace")
	cases := []struct {
		name, source, destination string
		script, want              string
		fails                     string
	}{
		{name: "file", source: "vol/f", destination: "/etc/made", script: "cat /etc/made", want: "of volume\n"},
		{name: "directory", source: "vol/sub", destination: "/mnt", script: "ls /mnt", want: "inside\n"},
		{name: "what the mount itself is", source: "vol", destination: "/mnt", script: "cat /mnt/f", want: "of volume\n"},
		{name: "link", source: "vol/link", destination: "/mnt", script: "ls /mnt", want: "inside\n"},
		{name: "link out", source: "vol/out", destination: "/mnt", script: "ls /mnt", fails: "no such file or directory"},
		{name: "file that covers a directory", source: "home/sub/f", destination: "/etc/made", script: "cat /etc/made", want: "of volume\n"},
		{name: "in a tmpfs", source: "scratch", destination: "/mnt", script: "touch /scratch/x; ls /mnt", want: "x\n"},
		{name: "missing", source: "vol/missing", destination: "/mnt", fails: "no such file or directory"},
		{name: "directory on a file", source: "vol/sub", destination: "/etc/passwd", fails: "not a directory"},
		{name: "file on a directory", source: "vol/f", destination: "/home", fails: "not a directory"},
	}
	kinds := users()
	kinds[" of an ordinary user"] = nop
	for in, user := range kinds {
		for _, tc := range cases {
			t.Run(tc.name+in, func(t *testing.T) {
				b := harness.New(t, user)
				volume := hostDir(t, b, "volume")
				hostDir(t, b, "volume/sub")
				must(t, os.Rename(filepath.Join(volume, "sub/f"), filepath.Join(volume, "sub/inside")))
				must(t, os.Symlink("sub", filepath.Join(volume, "link")))
				must(t, os.Symlink(volume+"/sub", filepath.Join(volume, "out")))
				must(t, os.MkdirAll(filepath.Join(b.Rootfs, "home/sub/f"), 0o755))
				if strings.Contains(in, "ordinary") {
					asOrdinary(t, b)
				} else if in != "" {
					own(t, b, 100000)
				}
				harness.WithMount("/vol", "bind", volume, "bind")(b.Spec)
				harness.WithMount("/home/sub", "bind", volume, "bind")(b.Spec)
				harness.WithMount("/scratch", "tmpfs", "tmpfs")(b.Spec)
				harness.WithMount(tc.destination, "bind", filepath.Join(b.Rootfs, tc.source), "bind")(b.Spec)
				if tc.fails != "" {
					b.Write()
					if r := b.Fails(tc.fails, "run", "--bundle", b.Bundle, b.ID); !strings.Contains(r.Stderr, "mounts[") {
						t.Errorf("the error doesn't name the mount: %s", r.Stderr)
					}
					return
				}
				if got := b.Sh(tc.script); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// TestHiddenTwice: a path that is listed twice is masked, or made read-only, once.
func TestHiddenTwice(t *testing.T) {
	harness.OrlopOnly(t, "runc hides it twice")
	b := harness.New(t)
	b.Spec.Linux.MaskedPaths = []string{"/etc/passwd", "/home", "/etc//passwd", "/home/", "/home"}
	b.Spec.Linux.ReadonlyPaths = []string{"/var", "/var", "/var/."}
	out := b.Sh("cut -d' ' -f5 /proc/self/mountinfo")
	for _, p := range []string{"/etc/passwd", "/home", "/var"} {
		if n := strings.Count(out, "\n"+p+"\n"); n != 1 {
			t.Errorf("%s is mounted on %d times:\n%s", p, n, out)
		}
	}
}

// TestReadOnlyWithoutNamespace: without a mount namespace, a read-only root is a mount of its own
// on the host's, which stays writable and is uncovered when the container is deleted.
func TestReadOnlyWithoutNamespace(t *testing.T) {
	harness.OrlopOnly(t, "runc leaves the root writable")
	for _, kind := range []string{"directory", "mount"} {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t, hostMounts)
			if kind == "mount" {
				must(t, unix.Mount(b.Rootfs, b.Rootfs, "", unix.MS_BIND, ""))
			}
			b.Spec.Mounts, b.Spec.Root.Readonly, b.Spec.Linux.RootfsPropagation = nil, true, "slave"
			before := read(t, "/proc/self/mountinfo")
			b.Up()
			script := "! touch /x && ! touch /dev/x"
			var st unix.Statfs_t
			// Otherwise no device can be opened there.
			if must(t, unix.Statfs(b.Rootfs, &st)); st.Flags&unix.MS_NODEV == 0 {
				script += " && echo x > /dev/null"
			}
			b.OK("exec", b.ID, "sh", "-c", script)
			b.OK("delete", "--force", b.ID)
			if after := read(t, "/proc/self/mountinfo"); after != before {
				t.Errorf("mounts are\n%s\nwere\n%s", after, before)
			}
			must(t, os.WriteFile(filepath.Join(b.Rootfs, "x"), nil, 0o644))
			if kind == "mount" {
				must(t, unix.Unmount(b.Rootfs, 0))
			}
		})
	}
}
