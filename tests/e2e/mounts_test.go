package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// hostDir makes a directory of the host with a file "f" in it, to be mounted.
func hostDir(t testing.TB, b *harness.Box, name string) string {
	t.Helper()
	dir := filepath.Join(b.Dir, name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("of "+name+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMountBind(t *testing.T) {
	cases := []struct {
		name    string
		options []string
		script  string
		want    string
	}{
		{"bind", []string{"bind"}, "cat /mnt/f", "of volume"},
		{"write through", []string{"bind"}, "echo new > /mnt/g; cat /mnt/g", "new"},
		{"ro", []string{"bind", "ro"}, "echo x 2>&1 > /mnt/f || echo refused", "refused"},
		{"bind is not recursive", []string{"bind"}, "ls /mnt/sub", ""},
		{"rbind", []string{"rbind"}, "ls /mnt/sub", "below"},
		{"ro is not recursive", []string{"rbind", "ro"}, "touch /mnt/sub/x && echo written", "written"},
		{"noexec", []string{"bind", "noexec"}, "cp /bin/busybox /mnt/true; /mnt/true 2>/dev/null || echo refused", "refused"},
		{"exec", []string{"bind"}, "cp /bin/busybox /mnt/true; /mnt/true && echo runs", "runs"},
		{"flags shown", []string{"bind", "nosuid", "nodev", "noexec", "noatime", "ro"},
			"grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6", "ro,nosuid,nodev,noexec,noatime"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t)
			dir := hostDir(t, b, "volume")
			harness.MountTmpfs(t, filepath.Join(dir, "sub"))
			if err := os.WriteFile(filepath.Join(dir, "sub/below"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			harness.WithMount("/mnt", "bind", dir, tc.options...)(b.Spec)
			if got := strings.TrimSpace(b.Sh(tc.script)); got != tc.want && !strings.HasSuffix(got, "\n"+tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestMountRecursiveReadOnly: rro applies to submounts.
func TestMountRecursiveReadOnly(t *testing.T) {
	b := harness.New(t)
	dir := hostDir(t, b, "volume")
	harness.MountTmpfs(t, filepath.Join(dir, "sub"))
	harness.WithMount("/mnt", "bind", dir, "rbind", "rro")(b.Spec)
	if got := b.Sh("touch /mnt/x 2>/dev/null || echo refused; touch /mnt/sub/x 2>/dev/null || echo refused"); got != "refused\nrefused\n" {
		t.Errorf("got %q", got)
	}
	// The host's own mount stays writable.
	if err := os.WriteFile(filepath.Join(dir, "sub/x"), nil, 0o666); err != nil {
		t.Error(err)
	}
}

// TestMountTargets: a missing target is made, a file for a file.
func TestMountTargets(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		b := harness.New(t)
		harness.WithMount("/made/on/the/way", "bind", hostDir(t, b, "volume"), "bind")(b.Spec)
		if got := b.Sh("cat /made/on/the/way/f"); got != "of volume\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("file", func(t *testing.T) {
		b := harness.New(t)
		harness.WithMount("/etc/made/file", "bind", filepath.Join(hostDir(t, b, "volume"), "f"), "bind")(b.Spec)
		if got := b.Sh("cat /etc/made/file"); got != "of volume\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("missing source", func(t *testing.T) {
		b := harness.New(t)
		harness.WithMount("/mnt", "bind", "/no/such/source", "bind")(b.Spec)
		b.Write()
		r := b.Fails("no such file or directory", "run", "--bundle", b.Bundle, b.ID)
		if harness.Name() == "orlop" && !strings.Contains(r.Stderr, "mounts[7]") {
			t.Errorf("the error doesn't name the mount: %s", r.Stderr)
		}
		b.CheckClean()
	})
	t.Run("link out of the root", func(t *testing.T) {
		b := harness.New(t)
		outside := hostDir(t, b, "outside")
		if err := os.Symlink(outside, filepath.Join(b.Rootfs, "leads-out")); err != nil {
			t.Fatal(err)
		}
		harness.WithMount("/leads-out/made", "tmpfs", "tmpfs")(b.Spec)
		b.Run() // an error, or resolved inside
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
			t.Errorf("outside the root: %v, %v", entries, err)
		}
	})
}

// TestMountOnDevice: a mount may be at the path of a default device. A mask needs a null device in
// any case.
func TestMountOnDevice(t *testing.T) {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		t.Run(name, func(t *testing.T) {
			dev := "/dev/" + name
			b := harness.New(t, harness.Sh("test -c "+dev+" && head -c 1 /proc/kcore | wc -c"), func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: dev, Type: "bind", Source: dev, Options: []string{"bind"}})
				s.Linux.MaskedPaths = []string{"/proc/kcore"}
			})
			if out := b.Run().OK(b); out != "0\n" {
				t.Errorf("/proc/kcore has %q bytes", out)
			}
		})
	}
}

func TestMountTmpfs(t *testing.T) {
	t.Run("options", func(t *testing.T) {
		b := harness.New(t, harness.WithMount("/scratch", "tmpfs", "scratch", "nosuid", "mode=1750", "size=64k", "uid=7"))
		got := b.Sh("stat -c '%a %u' /scratch; df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f1,2; head -c 100k /dev/zero 2>/dev/null > /scratch/f || echo full")
		if want := "1750 7\nscratch 64\nfull\n"; !strings.HasPrefix(got, "1750 7\nscratch 64\n") || !strings.HasSuffix(got, "full\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("copy up", func(t *testing.T) {
		b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup"))
		if err := os.MkdirAll(filepath.Join(b.Rootfs, "var/deep"), 0o750); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(b.Rootfs, "var/deep/f")
		if err := os.WriteFile(file, []byte("copied\n"), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("f", filepath.Join(b.Rootfs, "var/deep/link")); err != nil {
			t.Fatal(err)
		}
		got := b.Sh("cat /var/deep/f; stat -c %a /var/deep /var/deep/f; readlink /var/deep/link; echo new > /var/deep/f")
		if want := "copied\n750\n640\nf\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := read(t, file); got != "copied\n" {
			t.Errorf("the image's file is now %q", got)
		}
	})
}

// TestMountPropagation reads the mounts' optional fields: shared:N, master:N, none.
func TestMountPropagation(t *testing.T) {
	cases := []struct {
		option string
		want   string // in the optional fields
	}{
		{"private", "-"}, {"rprivate", "-"},
		{"shared", "shared:"}, {"rshared", "shared:"},
		{"slave", "master:"}, {"rslave", "master:"},
		{"unbindable", "unbindable"},
	}
	for _, tc := range cases {
		t.Run(tc.option, func(t *testing.T) {
			b := harness.New(t)
			dir := filepath.Join(b.Dir, "volume")
			harness.MountTmpfs(t, dir)
			if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			harness.WithMount("/mnt", "bind", dir, "bind", tc.option)(b.Spec)
			b.Spec.Linux.RootfsPropagation = "rslave"
			fields := strings.Fields(b.Sh("grep ' /mnt ' /proc/self/mountinfo"))
			if len(fields) < 7 {
				t.Fatalf("got %q", fields)
			}
			if !strings.HasPrefix(fields[6], tc.want) {
				t.Errorf("optional fields begin with %q, want %q", fields[6], tc.want)
			}
		})
	}
}

// TestRootPropagation: a later mount of the host arrives in the volume of an rslave root, and not
// of a private one.
func TestRootPropagation(t *testing.T) {
	for option, want := range map[string]string{"rslave": "late\n", "rprivate": ""} {
		t.Run(option, func(t *testing.T) {
			b := harness.New(t)
			dir := filepath.Join(b.Dir, "volume")
			harness.MountTmpfs(t, dir)
			if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			late := filepath.Join(dir, "sub")
			if err := os.Mkdir(late, 0o777); err != nil {
				t.Fatal(err)
			}
			harness.WithMount("/mnt", "bind", dir, "rbind", option)(b.Spec)
			b.Up()
			harness.MountTmpfs(t, late)
			if err := os.WriteFile(filepath.Join(late, "late"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			if got := b.OK("exec", b.ID, "ls", "/mnt/sub"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestMountFileSystems(t *testing.T) {
	b := harness.New(t)
	got := b.Sh("while read -r _ point kind _; do echo $point $kind; done < /proc/mounts")
	for _, want := range []string{"/proc proc", "/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/dev/mqueue mqueue", "/sys sysfs"} {
		if !strings.Contains("\n"+got, "\n"+want+"\n") {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

// TestMountCgroup: the container sees its own cgroup at the mount's root, and can't write it.
func TestMountCgroup(t *testing.T) {
	b := harness.New(t)
	limit := int64(77)
	b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	if got := strings.TrimSpace(b.Sh("cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true")); got != "77" {
		t.Errorf("pids.max is %q", got)
	}
	if got := b.Sh("mkdir /sys/fs/cgroup/x /sys/fs/cgroup/pids/x 2>/dev/null || echo refused"); got != "refused\n" {
		t.Errorf("got %q", got)
	}
}

// TestMountRefused: mounts over files that the runtime relies on.
func TestMountRefused(t *testing.T) {
	harness.OrlopOnly(t, "runc refuses bind mounts only")
	for _, destination := range []string{"/proc", "/proc/self/attr", "/proc/sys", "/proc/self"} {
		t.Run(destination, func(t *testing.T) {
			b := harness.New(t, harness.WithMount(destination, "tmpfs", "tmpfs"))
			r := b.Do("run", "--bundle", b.Bundle, b.ID)
			r.Fails(b, "")
			b.CheckClean()
		})
	}
}
