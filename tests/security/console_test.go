package security

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestCVE2025_52565_SwappedConsole: CVE-2025-52565. Files in the image's /dev are swapped with
// links that lead out while a console is made.
func TestCVE2025_52565_SwappedConsole(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	b := harness.New(t, harness.Args("cat", "/proc/self/mountinfo"), harness.Writable)
	out, check := outside(t, b)
	directory(t, filepath.Join(b.Rootfs, out))
	dev := filepath.Join(b.Rootfs, "dev")
	directory(t, filepath.Join(dev, "pts"))
	for _, name := range []string{"console", "ptmx", "null"} {
		must(t, os.WriteFile(filepath.Join(dev, name), nil, 0o644))
	}
	for _, name := range []string{"console", "ptmx", "null", "pts"} {
		must(t, os.Symlink(filepath.Join(out, name), filepath.Join(dev, name+"-link")))
	}
	b.Spec.Mounts = []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev/pts", Type: "devpts", Source: "probe", Options: []string{"newinstance", "ptmxmode=0666"}},
	}
	b.Spec.Process.Terminal = true
	b.Spec.Linux.MaskedPaths = []string{"/proc/kcore", "/dev/null"}
	b.Write()

	socket, masters := consoles(t, b)
	neighbour := swap(t, dev, "console", "console-link", "ptmx", "ptmx-link", "pts", "pts-link", "null", "null-link")
	race(t, rounds, neighbour, func() harness.Result {
		// The runtime replaces ptmx, and the neighbour may be quicker.
		os.Remove(filepath.Join(dev, "ptmx-link"))
		os.Symlink(filepath.Join(out, "ptmx"), filepath.Join(dev, "ptmx-link"))
		r := b.Do("run", "--detach", "--console-socket", socket, "--bundle", b.Bundle, b.ID)
		for r.Status != 0 && len(masters) > 0 {
			(<-masters).Close()
		}
		return r
	}, func(harness.Result) {
		master := <-masters
		text, err := io.ReadAll(master) // EIO: the other side is closed
		if info := string(text); !strings.Contains(info, " devpts probe ") || !strings.Contains(info, "/dev/console") {
			t.Errorf("the console is not where it belongs: %v\n%s", err, info)
		}
		master.Close()
		b.OK("delete", "--force", b.ID)
	})
	check()
}

// consoles receives the masters that are sent to a socket.
func consoles(t *testing.T, b *harness.Box) (path string, masters chan *os.File) {
	t.Helper()
	path = filepath.Join(b.Dir, "console.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	masters = make(chan *os.File, 1)
	go func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			name, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
			_, n, _, _, err := conn.ReadMsgUnix(name, control)
			conn.Close()
			messages, perr := unix.ParseSocketControlMessage(control[:n])
			if err != nil || perr != nil || len(messages) != 1 {
				continue
			}
			if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
				unix.CloseOnExec(fds[0])
				masters <- os.NewFile(uintptr(fds[0]), "master")
			}
		}
	}()
	return path, masters
}

// opens reports whether a file has been opened since. O_PATH does not count.
func opens(t *testing.T, path string) (opened func() bool) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, path, unix.IN_OPEN)
	must(t, err)
	return func() bool {
		n, err := unix.Read(fd, make([]byte, 4096))
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		return n > 0
	}
}

// TestTerminalOfContainer: a container has other files in place of the terminal devices through
// which exec would open one. None of them is opened: the terminal comes from the container's
// devpts, or there is none.
func TestTerminalOfContainer(t *testing.T) {
	harness.OrlopOnly(t, "others open what is there")
	traps := []struct{ name, make, undo, trap, want string }{
		{"a FIFO as /dev/ptmx", "rm -f /dev/ptmx; mkfifo /dev/ptmx", "", "/dev/ptmx", ""},
		{"a link as /dev/ptmx", "touch /trap; ln -sf /trap /dev/ptmx", "", "/trap", ""},
		{"a bind mount on /dev/ptmx", "rm -f /dev/ptmx; touch /trap /dev/ptmx; mount --bind /trap /dev/ptmx", "umount /dev/ptmx", "/trap", ""},
		{"a bind mount on /dev/pts/ptmx", "touch /trap; mount --bind /trap /dev/pts/ptmx", "umount /dev/pts/ptmx", "/trap",
			"something is mounted over /dev/pts/ptmx of the container"},
		{"a tmpfs on /dev/pts", "mount -t tmpfs tmpfs /dev/pts; mkfifo /dev/pts/ptmx", "umount /dev/pts", "/dev/pts/ptmx",
			"/dev/pts of the container is not a devpts"},
		{"a directory on /dev/pts", "mkdir -p /folder; touch /trap; ln -sf ../trap /folder/ptmx; mount --bind /folder /dev/pts", "umount /dev/pts",
			"/trap", "/dev/pts of the container is not a devpts"},
	}
	b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"))
	pid := b.Up()
	socket, masters := consoles(t, b)
	attempts(t, 2*len(traps), func(n int) {
		trap := traps[n%len(traps)]
		b.OK("exec", b.ID, "sh", "-c", trap.make)
		path := "/proc/" + strconv.Itoa(pid) + "/root" + trap.trap
		opened := opens(t, path)
		if n < len(traps) {
			// Positive control: an open is noticed.
			f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
			must(t, err)
			f.Close()
			if !opened() {
				t.Fatalf("%s: nobody sees that it is opened, so this shows nothing", trap.name)
			}
		}
		r := quick(b, "exec", "--tty", "--detach", "--console-socket", socket, b.ID, "true")
		if trap.want == "" {
			r.OK(b)
			(<-masters).Close()
		} else {
			r.Fails(b, trap.want)
		}
		if opened() {
			t.Errorf("%s: exec has opened it", trap.name)
		}
		b.OK("exec", b.ID, "sh", "-c", trap.undo)
	})
}
