package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// ways are all ways in which a process gets the caller's standard streams.
func ways() []string { return []string{"create", "run", "run --detach", "exec", "exec --detach"} }

// launch executes a script in the container in one of these ways, with these standard streams, and
// waits for its end.
func launch(b *harness.Box, way, script string, stdin, stdout, stderr *os.File) {
	b.T.Helper()
	harness.Sh(script)(b.Spec)
	b.Write()
	pidFile := filepath.Join(b.Dir, "streams.pid")
	var c *harness.Command
	switch way {
	case "exec", "exec --detach":
		b.Up()
		args := append(strings.Fields(way), "--pid-file", pidFile, b.ID, "sh", "-c", script)
		c = b.Cmd(args...)
	default:
		c = b.Cmd(append(strings.Fields(way), "--bundle", b.Bundle, "--pid-file", pidFile, b.ID)...)
	}
	c.Stdin, c.Stdout, c.Stderr = stdin, stdout, stderr
	if r := c.Run(); r.Status != 0 {
		b.T.Fatalf("%s: status %d", way, r.Status)
	}
	if way == "create" {
		b.OK("start", b.ID)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(b.T.(*testing.T), pidFile)))
	if err != nil {
		b.T.Fatal(err)
	}
	b.WaitGone(pid)
}

func openNull(t *testing.T) *os.File {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { null.Close() })
	return null
}

// reportStreams writes to a file, for each of its standard streams: the number of the device, its
// filesystem, and whether that is mounted in the container.
const reportStreams = `exec 9>/tmp/report
	for fd in 0 1 2; do
		id=$(sed -n 's/^mnt_id:[[:space:]]*//p' /proc/$$/fdinfo/$fd)
		grep -q "^$id " /proc/self/mountinfo && where=inside || where=outside
		echo $(stat -L -c '%t,%T %d' /proc/$$/fd/$fd) $where >&9
	done`

// hostDevices returns the device that contains the host's /dev/null, in stat's format.
func hostDevices(t *testing.T) string {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(os.DevNull, &st))
	return strconv.FormatUint(st.Dev, 10)
}

// TestNullStreams: a standard stream that is the host's null device is replaced by the container's
// own, however the process gets it.
func TestNullStreams(t *testing.T) {
	harness.OrlopOnly(t, "runc leaves the host's to what is executed in a container")
	null := openNull(t)
	kinds := map[string]func(*testing.T, *harness.Box){
		"":               func(*testing.T, *harness.Box) {},
		"user namespace": func(t *testing.T, b *harness.Box) { withUser(shifted())(b.Spec); own(t, b, 100000) },
		"ordinary user":  func(t *testing.T, b *harness.Box) { asOrdinary(t, b) },
	}
	for kind, change := range kinds {
		for _, way := range ways() {
			t.Run(strings.TrimSpace(way+" "+kind), func(t *testing.T) {
				b := harness.New(t, harness.Writable)
				change(t, b)
				launch(b, way, reportStreams, null, null, null)
				lines := strings.Split(strings.TrimSpace(read(t, b.Rootfs+"/tmp/report")), "\n")
				for fd, line := range lines {
					f := strings.Fields(line)
					if len(f) != 3 || f[0] != "1,3" || f[2] != "inside" || kind == "" && f[1] == hostDevices(t) {
						t.Errorf("descriptor %d is %q", fd, line)
					}
				}
				if len(lines) != 3 {
					t.Errorf("report %q", lines)
				}
			})
		}
	}
}

// TestNullOfImage: the image's /dev/null is only used as a null device if it is one, and the
// container does not get the host's in its place.
func TestNullOfImage(t *testing.T) {
	harness.OrlopOnly(t, "runc refuses most of these")
	null := openNull(t)
	cases := map[string]func(dev string) error{
		"link to a file":      func(dev string) error { return os.Symlink("/etc/passwd", dev+"/null") },
		"link that climbs":    func(dev string) error { return os.Symlink("../../../../../../../../dev/null", dev+"/null") },
		"link to a stream":    func(dev string) error { return os.Symlink("/proc/self/fd/0", dev+"/null") },
		"file":                func(dev string) error { return os.WriteFile(dev+"/null", nil, 0o666) },
		"directory":           func(dev string) error { return os.Mkdir(dev+"/null", 0o777) },
		"pipe":                func(dev string) error { return unix.Mkfifo(dev+"/null", 0o666) },
		"another device":      func(dev string) error { return unix.Mknod(dev+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
		"block device 1:3":    func(dev string) error { return unix.Mknod(dev+"/null", unix.S_IFBLK|0o666, int(unix.Mkdev(1, 3))) },
		"none: /dev is empty": func(dev string) error { return nil },
	}
	for name, put := range cases {
		for _, way := range []string{"run", "exec"} {
			t.Run(way+", "+name, func(t *testing.T) {
				b := harness.New(t, harness.Writable)
				dev := filepath.Join(b.Dir, "dev")
				harness.MountTmpfs(t, dev)
				must(t, put(dev))
				// On top of what the runtime makes.
				b.Spec.Mounts = append(b.Spec.Mounts[:1:1], specs.Mount{Destination: "/dev", Type: "bind", Source: dev, Options: []string{"bind"}})
				launch(b, way, reportStreams, null, null, null)
				for line := range strings.Lines(read(t, b.Rootfs+"/tmp/report")) {
					if f := strings.Fields(line); len(f) != 3 || f[0] != "1,3" || f[1] == hostDevices(t) {
						t.Errorf("a stream is %q", line)
					}
				}
			})
		}
	}
}

// streamOf makes a file of a kind, owned by the host's root and accessible to nobody else; other is
// its other end, or nil.
func streamOf(t *testing.T, b *harness.Box, kind string) (file, other *os.File) {
	t.Helper()
	path := filepath.Join(b.Dir, "stream")
	switch kind {
	case "pipe":
		r, w, err := os.Pipe()
		must(t, err)
		file, other = w, r
	case "named pipe":
		must(t, unix.Mkfifo(path, 0o600))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		file = f
	case "socket":
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		file, other = os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	case "file":
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		must(t, err)
		file = f
	case "terminal":
		c, slave, err := console.NewPty()
		must(t, err)
		t.Cleanup(func() { c.Close() })
		f, err := os.OpenFile(slave, os.O_RDWR|unix.O_NOCTTY, 0)
		must(t, err)
		file = f
	}
	t.Cleanup(func() {
		file.Close()
		if other != nil {
			other.Close()
		}
	})
	return file, other
}

// TestStreamOwner: pipes and sockets belong to the process's user, who can reopen them; so does a
// regular file that stays with the container. In the foreground a pipe replaces it and a terminal,
// which keep their owner.
func TestStreamOwner(t *testing.T) {
	harness.OrlopOnly(t, "runc puts pipes of its own between in the foreground, and gives nothing outside a user namespace")
	users := []struct {
		name string
		host uint32
		set  func(*testing.T, *harness.Box)
	}{
		{"user 1000", 1000, func(t *testing.T, b *harness.Box) { b.Spec.Process.User = specs.User{UID: 1000, GID: 1001} }},
		{"root of a user namespace", 100000, func(t *testing.T, b *harness.Box) { withUser(shifted())(b.Spec); own(t, b, 100000) }},
		{"user 1000 of a user namespace", 101000, func(t *testing.T, b *harness.Box) {
			withUser(shifted())(b.Spec)
			own(t, b, 100000)
			b.Spec.Process.User = specs.User{UID: 1000, GID: 1001}
		}},
	}
	for _, user := range users {
		for _, way := range ways() {
			for _, kind := range []string{"pipe", "named pipe", "socket", "file", "terminal"} {
				t.Run(fmt.Sprintf("%s, %s, %s", user.name, way, kind), func(t *testing.T) {
					b := harness.New(t, harness.Writable)
					user.set(t, b)
					file, _ := streamOf(t, b, kind)
					null := openNull(t)
					given := kind == "pipe" || kind == "named pipe" || kind == "socket" || kind == "file" && (way == "create" || strings.Contains(way, "detach"))
					launch(b, way, "echo first; (echo second >> /dev/stdout) 2>/dev/null && echo opened > /tmp/report; true", null, file, null)
					var st unix.Stat_t
					must(t, unix.Fstat(int(file.Fd()), &st))
					want := uint32(0)
					if given {
						want = user.host
					}
					if st.Uid != want {
						t.Errorf("belongs to %d, want %d", st.Uid, want)
					}
					_, err := os.Stat(b.Rootfs + "/tmp/report")
					foreground := way == "run" || way == "exec"
					// Sockets cannot be opened.
					can := kind != "socket" && (kind != "terminal" || foreground)
					if opened := err == nil; opened != can {
						t.Errorf("opened again: %v", opened)
					}
					if kind == "file" {
						if got := read(t, file.Name()); got != "first\nsecond\n" {
							t.Errorf("the file has %q", got)
						}
					}
				})
			}
		}
	}
}

// TestForegroundOutput: output that a process writes in the foreground, as another user than the
// files' owner, arrives complete and in order; the process notices when nobody reads it any more,
// and run does not wait for a process that stays behind.
func TestForegroundOutput(t *testing.T) {
	harness.OrlopOnly(t, "runc waits for all that have its pipes")
	another := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1001} }
	t.Run("order", func(t *testing.T) {
		b := harness.New(t, another, harness.Sh("for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done; exit 3"))
		file, _ := streamOf(t, b, "file")
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Stdout, c.Stderr = file, file
		if r := c.Run(); r.Status != 3 {
			t.Errorf("status %d", r.Status)
		}
		want := ""
		for i := 1; i < 10; i++ {
			want += fmt.Sprintf("out %d\nerr %d\n", i, i)
		}
		if got := read(t, file.Name()); got != want {
			t.Errorf("got %q", got)
		}
	})
	t.Run("much", func(t *testing.T) {
		b := harness.New(t, another, harness.Sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end"))
		if got := b.OK("run", "--bundle", b.Bundle, b.ID); len(got) != 3000004 || !strings.HasSuffix(got, "xend\n") {
			t.Errorf("%d bytes", len(got))
		}
	})
	t.Run("full", func(t *testing.T) {
		b := harness.New(t, another, harness.Sh("trap '' PIPE; while echo more; do :; done 2>/dev/null; exit 5"))
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		must(t, err)
		defer full.Close()
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Stdout = full // everybody may write to it, so the process gets it directly
		if r := c.Run(); r.Status != 5 {
			t.Errorf("status %d", r.Status)
		}
		small := filepath.Join(b.Dir, "small")
		must(t, os.Mkdir(small, 0o700))
		must(t, unix.Mount("small", small, "tmpfs", 0, "size=4096"))
		t.Cleanup(func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) })
		limited, err := os.Create(small + "/file")
		must(t, err)
		defer limited.Close()
		c = b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Stdout = limited
		if r := c.Run(); r.Status != 5 {
			t.Errorf("status %d", r.Status)
		}
	})
	t.Run("left behind", func(t *testing.T) {
		b := harness.New(t, another, harness.WithoutNamespace("pid"), harness.Sh("sleep 1000 & echo said"))
		r := b.Cmd("run", "--keep", "--bundle", b.Bundle, b.ID).Run()
		if r.Status != 0 || r.Stdout != "said\n" {
			t.Errorf("%+v", r)
		}
		b.OK("delete", "--force", b.ID)
	})
}
