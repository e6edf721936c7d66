package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// TestBindOptions: a bind mount with an unknown option is refused, because the option may have been
// meant to restrict the container. Options without an effect are accepted.
func TestBindOptions(t *testing.T) {
	for _, c := range []struct{ option, problem string }{
		{"readonly", `mounts[7].options[1]: unknown option "readonly" of a bind mount: use ro`},
		{"nosiud", `unknown option "nosiud" of a bind mount: did you mean nosuid?`},
		{"sise=1k", `unknown option "sise=1k" of a bind mount`},
		{"nofail", ""},
		{"x-systemd.automount", ""},
		{"rsync", ""},
	} {
		t.Run(c.option, func(t *testing.T) {
			b := harness.New(t, harness.Args("true"))
			harness.WithMount("/mnt", "bind", hostDir(t, b, "volume"), "bind", c.option)(b.Spec)
			if c.problem == "" {
				b.Run().OK(b)
				return
			}
			b.Run().Fails(b, c.problem)
		})
	}
}

// TestLongMountOptions: fsconfig(2) accepts 255 bytes for a parameter, mount(2) a page for all of
// them, and since Linux 6.8 each layer of an overlay can be a parameter.
func TestLongMountOptions(t *testing.T) {
	layers := func(t *testing.T, b *harness.Box, n, length int, special string) string {
		t.Helper()
		list := make([]string, n)
		for i := range list {
			dir := filepath.Join(b.Dir, "layers")
			name := fmt.Sprintf("%03d", i)
			layer := filepath.Join(dir, name+special+strings.Repeat("x", max(0, length-len(dir)-1-len(name)-len(special))))
			must(t, os.MkdirAll(layer, 0o755))
			must(t, os.WriteFile(filepath.Join(layer, name), nil, 0o644))
			for up := layer; up != filepath.Dir(b.Dir); up = filepath.Dir(up) {
				must(t, os.Chmod(up, 0o755))
			}
			list[i] = strings.NewReplacer(":", `\:`, ",", `\,`).Replace(layer)
		}
		return "lowerdir=" + strings.Join(list, ":")
	}
	const count = "ls /mnt | wc -l; grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6; ls -A / | grep -c '^m$'; pwd"
	long := strings.Repeat("s", 300)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, b *harness.Box)
		script string
		want   string
	}{
		{"a page", func(t *testing.T, b *harness.Box) {
			harness.WithMount("/mnt", "overlay", "overlay", "nosuid", layers(t, b, 8, 150, ""))(b.Spec)
		}, count, "8\nrw,nosuid,relatime\n0\n/\n"},
		{"two pages", func(t *testing.T, b *harness.Box) {
			harness.WithMount("/mnt", "overlay", "overlay", "noatime", layers(t, b, 40, 200, ""))(b.Spec)
		}, count, "40\nrw,noatime\n0\n/\n"},
		{"escapes", func(t *testing.T, b *harness.Box) {
			harness.WithMount("/mnt", "overlay", "overlay", layers(t, b, 4, 150, ":,"))(b.Spec)
		}, count, "4\nrw,relatime\n0\n/\n"},
		{"escapes, two pages", func(t *testing.T, b *harness.Box) {
			harness.WithMount("/mnt", "overlay", "overlay", layers(t, b, 40, 200, ":,"))(b.Spec)
		}, count, "40\nrw,relatime\n0\n/\n"},
		{"upper directory", func(t *testing.T, b *harness.Box) {
			upper, work := filepath.Join(b.Dir, "upper,"+strings.Repeat("u", 200)), filepath.Join(b.Dir, "work,"+strings.Repeat("w", 200))
			must(t, os.Mkdir(upper, 0o755))
			must(t, os.Mkdir(work, 0o755))
			harness.WithMount("/mnt", "overlay", "overlay", layers(t, b, 4, 100, ""), "upperdir="+upper, "workdir="+work)(b.Spec)
		}, "touch /mnt/new; " + count, "5\nrw,relatime\n0\n/\n"},
		{"user namespace", func(t *testing.T, b *harness.Box) {
			withUser(shifted())(b.Spec)
			own(t, b, 100000)
			harness.WithMount("/mnt", "overlay", "overlay", layers(t, b, 8, 150, ""))(b.Spec)
		}, count, "8\nrw,relatime\n0\n/\n"},
		{"source", func(t *testing.T, b *harness.Box) {
			harness.WithMount("/mnt", "tmpfs", long, "ro", "nodev", "strictatime", "mode=711")(b.Spec)
		}, "grep -o ' /mnt .*' /proc/self/mountinfo | cut -d' ' -f3,6; stat -c %a /mnt", "ro,nodev " + long + "\n711\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := harness.New(t, harness.Sh(c.script))
			c.change(t, b)
			if got := b.Run().OK(b); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("ordinary user", func(t *testing.T) {
		b := harness.New(t, harness.Sh("grep -o ' /mnt .*' /proc/self/mountinfo | cut -d' ' -f6; stat -c %a /mnt"))
		asOrdinary(t, b)
		harness.WithMount("/mnt", "tmpfs", long, "mode=711")(b.Spec)
		if got, want := b.Run().OK(b), long+"\n711\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	// A filesystem that interprets its options itself, as network filesystems and those of FUSE do.
	t.Run("fuse", func(t *testing.T) {
		device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			t.Skip("no FUSE here: ", err)
		}
		defer device.Close() // ends the filesystem
		b := harness.New(t, harness.Sh("grep -o ' /mnt .*' /proc/self/mountinfo | cut -d' ' -f5,6"))
		harness.WithMount("/mnt", "fuse", long+"x", "fd=3", "rootmode=40000", "user_id=0", "group_id=0", "subtype="+long)(b.Spec)
		b.Write()
		c := b.Cmd("run", "--bundle", b.Bundle, "--preserve-fds", "1", b.ID)
		c.Files = []*os.File{device}
		if got, want := c.Run().OK(b), "fuse."+long+" "+long+"x\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("a failure leaves nothing", func(t *testing.T) {
		b := harness.New(t, harness.Args("true"), hostMounts)
		harness.WithMount("/mnt", "tmpfs", "tmpfs", "nosuch="+long)(b.Spec)
		b.Run().Fails(b, "mounts[7]: mount tmpfs on /mnt, nosuch="+long+": mount: invalid argument")
		if left, err := harness.MountsBelow(b.Dir); err != nil || len(left) > 0 {
			t.Errorf("left on the host: %v, %v", left, err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		b := harness.New(t, harness.Args("true"))
		harness.WithMount("/mnt", "tmpfs", "tmpfs", "nosuch="+strings.Repeat("x", 5000))(b.Spec)
		b.Run().Fails(b, "mounts[7].options: longer than 4095 bytes in total")
	})
}

// TestSymlinkOptions: a source or a destination that is a symbolic link, as in crun.
func TestSymlinkOptions(t *testing.T) {
	const inspect = "readlink /mnt/x; cat /mnt/x; grep -c ' /mnt/' /proc/self/mountinfo; true"
	for _, c := range []struct {
		name    string
		options []string
		// source is in the directory of the host, which has "file" and the links "link" to that and
		// "dangling".
		source string
		image  string // the image's /mnt/x
		want   string // standard output, or the error
	}{
		{"copied", []string{"bind", "copy-symlink"}, "link", "", "file\nof the image\n0\n"},
		{"copied, dangling", []string{"bind", "copy-symlink"}, "dangling", "", "nowhere\n0\n"},
		{"copied, there", []string{"bind", "copy-symlink"}, "link", "->file", "file\nof the image\n0\n"},
		{"copied, another there", []string{"bind", "copy-symlink"}, "link", "->filed", "mounts[7]: link /mnt/x to file: file exists (the destination exists and is not the same symbolic link as the source)"},
		{"copied, a shorter one there", []string{"bind", "copy-symlink"}, "link", "->fil", "mounts[7]: link /mnt/x to file: file exists"},
		{"copied, a file there", []string{"bind", "copy-symlink"}, "link", "a file", "mounts[7]: link /mnt/x to file: file exists"},
		{"no link to copy", []string{"bind", "copy-symlink"}, "file", "", "of the host\n1\n"},
		{"source not followed", []string{"bind", "src-nofollow"}, "link", "", "file\nof the image\n1\n"},
		{"source not followed, dangling", []string{"bind", "src-nofollow"}, "dangling", "", "nowhere\n1\n"},
		{"destination not followed", []string{"bind", "dest-nofollow"}, "file", "->file", "of the host\n1\n"},
		{"destination not followed, missing", []string{"bind", "dest-nofollow"}, "file", "", "of the host\n1\n"},
		{"neither followed", []string{"bind", "src-nofollow", "dest-nofollow"}, "dangling", "->file", "nowhere\n1\n"},
	} {
		for _, user := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, user namespace %v", c.name, user), func(t *testing.T) {
				harness.OrlopOnly(t, "runc has no such options")
				b := harness.New(t, harness.Sh(inspect))
				dir := filepath.Join(b.Dir, "host")
				must(t, os.Mkdir(dir, 0o755))
				must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("of the host\n"), 0o644))
				must(t, os.Symlink("file", filepath.Join(dir, "link")))
				must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
				must(t, os.WriteFile(filepath.Join(b.Rootfs, "mnt/file"), []byte("of the image\n"), 0o644))
				if target, ok := strings.CutPrefix(c.image, "->"); ok {
					must(t, os.Symlink(target, filepath.Join(b.Rootfs, "mnt/x")))
				} else if c.image != "" {
					must(t, os.WriteFile(filepath.Join(b.Rootfs, "mnt/x"), nil, 0o644))
				}
				if user {
					withUser(shifted())(b.Spec)
					own(t, b, 100000)
				}
				harness.WithMount("/mnt/x", "bind", filepath.Join(dir, c.source), c.options...)(b.Spec)
				r := b.Run()
				if strings.HasPrefix(c.want, "mounts") {
					r.Fails(b, c.want)
					return
				}
				if r.Stdout != c.want {
					t.Errorf("got %q, want %q", r.Stdout, c.want)
				}
			})
		}
	}
}

// TestIDMapInOption: a map in the mount option, as in crun: absolute, and relative to the
// container's user namespace.
func TestIDMapInOption(t *testing.T) {
	harness.OrlopOnly(t, "runc has no such option")
	b := harness.New(t, harness.Sh("stat -c %u:%g /volume/file"))
	harness.WithMount("/volume", "bind", volume(t, b, 5, 6), "rbind", "idmap=uids=5-70-1;gids=0-0-1#6-80-1")(b.Spec)
	if got := b.Run().OK(b); got != "70:80\n" {
		t.Errorf("absolute: got %q", got)
	}
	b = harness.New(t, harness.Sh("stat -c %u:%g /volume/file"), withUser(shifted()))
	own(t, b, 100000)
	harness.WithMount("/volume", "bind", volume(t, b, 5, 6), "rbind", "idmap=uids=@5-70-1;gids=@6-80-1")(b.Spec)
	if got := b.Run().OK(b); got != "70:80\n" {
		t.Errorf("relative: got %q", got)
	}
}
