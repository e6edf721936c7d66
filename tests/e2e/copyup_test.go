package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestCopyUpOddFiles: special files in an image's directory are copied unchanged, and none is
// opened that could block or have an effect.
func TestCopyUpOddFiles(t *testing.T) {
	harness.OrlopOnly(t, "runc copies less")
	b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup"), harness.Caps("CAP_DAC_OVERRIDE"))
	dir := filepath.Join(b.Rootfs, "var")
	at := func(name string) string { return filepath.Join(dir, name) }
	secret := filepath.Join(b.Dir, "secret")
	must(t, os.WriteFile(secret, []byte("of the host\n"), 0o644))
	must(t, os.MkdirAll(at("deep/er"), 0o700))
	must(t, os.WriteFile(at("suid"), []byte("x"), 0o755))
	must(t, os.Chown(at("suid"), 1000, 1001))
	must(t, unix.Chmod(at("suid"), 0o4755)) // after chown, which clears the bit
	must(t, os.Link(at("suid"), at("deep/hard")))
	must(t, os.WriteFile(at("none"), []byte("x"), 0))
	must(t, os.WriteFile(at("-n new\nline"), []byte("x"), 0o644))
	must(t, os.WriteFile(at(strings.Repeat("n", 255)), nil, 0o644))
	must(t, os.WriteFile(at("big"), make([]byte, 3<<20), 0o644))
	must(t, os.Symlink(secret, at("out")))
	must(t, os.Symlink("/no/such", at("dangling")))
	must(t, os.Symlink("loop", at("loop")))
	mkfifo(t, at("fifo"))
	must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Chmod(at("null"), 0o666)) // independent of the test's umask
	must(t, unix.Chmod(at("deep/er"), 0o2770))
	must(t, unix.Chmod(dir, 0o1751))
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(socket)
	must(t, os.Symlink(dir, filepath.Join(b.Dir, "s"))) // a shorter path for the address
	must(t, unix.Bind(socket, &unix.SockaddrUnix{Name: filepath.Join(b.Dir, "s", "socket")}))
	old := time.Unix(1_000_000_000, 0)
	must(t, os.Chtimes(at("big"), old, old))

	got := b.Sh(`cd /var
stat -c '%n %F %a %u:%g %s' suid none big
stat -c '%n %F %a %u:%g' fifo null socket deep/er .
stat -c '%Y' big
for l in out dangling loop; do readlink $l; done
cat out 2>/dev/null || echo not there
ls | grep -c '^n*$'; [ -e "./-n new
line" ] && echo odd name`)
	want := `suid regular file 4755 1000:1001 1
none regular file 0 0:0 1
big regular file 644 0:0 3145728
fifo fifo 644 0:0
null character special file 666 0:0
socket socket 755 0:0
deep/er directory 2770 0:0
. directory 1751 0:0
1000000000
` + secret + `
/no/such
loop
not there
1
odd name
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.CheckClean()
}

// TestCopyUpOverLink: the directory to copy is a link out of the root.
func TestCopyUpOverLink(t *testing.T) {
	harness.OrlopOnly(t, "one runtime is enough")
	b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup"), harness.Sh("cat /var/f; echo x > /var/new"))
	outside := hostDir(t, b, "outside")
	must(t, os.Remove(filepath.Join(b.Rootfs, "var")))
	must(t, os.Symlink(outside, filepath.Join(b.Rootfs, "var")))
	if r := b.Do("run", "--bundle", b.Bundle, b.ID); strings.Contains(r.Stdout, "of outside") {
		t.Errorf("the host's file is copied: %s", r.Stdout)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside the root: %v, %v", entries, err)
	}
	b.CheckClean()
}

// TestCopyUpNamed: properties that the options set for the tmpfs itself are not copied from the
// directory that it covers.
func TestCopyUpNamed(t *testing.T) {
	tests := map[string][]string{
		"755 1 2": {}, "700 1 2": {"mode=700"}, "755 5 2": {"uid=5"}, "755 1 6": {"gid=6"}, "1777 5 6": {"gid=6", "mode=1777", "uid=5"},
	}
	for want, options := range tests {
		b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", append(options, "tmpcopyup")...))
		must(t, os.Chown(filepath.Join(b.Rootfs, "var"), 1, 2))
		must(t, os.Chmod(filepath.Join(b.Rootfs, "var"), 0o755))
		if got := strings.TrimSpace(b.Sh("stat -c '%a %u %g' /var")); got != want {
			t.Errorf("%q: got %s, want %s", options, got, want)
		}
	}
}

// TestCopyUpFull: a tmpfs that is too small for its image's directory is an error.
func TestCopyUpFull(t *testing.T) {
	harness.OrlopOnly(t, "one runtime is enough")
	b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup", "size=64k"))
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "var/big"), make([]byte, 1<<20), 0o644))
	b.Fails("no space left on device", "run", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
}

// TestCopyUpSparse: the holes of a file stay holes. The copy fits where its data does.
func TestCopyUpSparse(t *testing.T) {
	harness.OrlopOnly(t, "runc fills the holes")
	b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup", "size=1m"))
	f, err := os.Create(filepath.Join(b.Rootfs, "var/sparse"))
	must(t, err)
	defer f.Close()
	const size = 1 << 30
	must(t, f.Truncate(size))
	_, err = f.WriteAt([]byte("middle"), size/2)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), size-3)
	must(t, err)
	got := b.Sh(`cd /var; stat -c %s sparse; tail -c 3 sparse; echo; dd if=sparse bs=1 skip=536870912 count=6 2>/dev/null; echo
[ $(stat -c %b sparse) -le 64 ] && echo holes`)
	if want := "1073741824\nend\nmiddle\nholes\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
