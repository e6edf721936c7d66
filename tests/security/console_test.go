package security

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestCVE2025_52565_SwappedConsole: CVE-2025-52565. What is in the image's /dev is swapped with links that lead out while a console is made.
func TestCVE2025_52565_SwappedConsole(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	b := harness.New(t, harness.Args("cat", "/proc/self/mountinfo"), harness.Writable)
	out, check := outside(t, b)
	folder(t, filepath.Join(b.Rootfs, out))
	dev := filepath.Join(b.Rootfs, "dev")
	folder(t, filepath.Join(dev, "pts"))
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
		// The runtime replaces ptmx. The neighbour may be quicker than this.
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
