package console

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	containerd "github.com/containerd/console"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

// receive accepts one connection and reads one message, as go-runc does.
func receive(l *net.UnixListener) (name string, f *os.File, err error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	data, oob := make([]byte, 4096), make([]byte, 1024)
	n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		return "", nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return "", nil, fmt.Errorf("%d control messages: %w", len(msgs), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return "", nil, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	if n, err := conn.Read(data[n:]); n != 0 || err != io.EOF {
		return "", nil, fmt.Errorf("%d more bytes, %w", n, err)
	}
	return string(data[:n]), os.NewFile(uintptr(fds[0]), "received"), nil
}

func TestSend(t *testing.T) {
	for _, length := range []int{10, 107, 108, 300} {
		dir := t.TempDir()
		for len(dir) < length {
			dir = filepath.Join(dir, strings.Repeat("d", 50))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		// It listens through a short name of the directory.
		link := filepath.Join(os.TempDir(), fmt.Sprintf("orlop-console-%d", os.Getpid()))
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(link, "s"), Net: "unix"})
		_ = os.Remove(link)
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if err := l.SetDeadline(time.Now().Add(hang.Limit)); err != nil {
			t.Fatal(err)
		}
		master, slave := pty(t)
		if err := Send(filepath.Join(dir, "s"), "/dev/pts/7", master); err != nil {
			t.Fatal(err)
		}
		name, f, err := receive(l)
		if err != nil || name != "/dev/pts/7" {
			t.Fatalf("received %q, %v", name, err)
		}
		// containerd also recognizes it as a master, and ours is still open.
		c, err := containerd.ConsoleFromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Resize(containerd.WinSize{Height: 11, Width: 22}); err != nil {
			t.Fatal(err)
		}
		if s, err := GetSize(slave); err != nil || *s != (unix.Winsize{Row: 11, Col: 22}) {
			t.Errorf("size %v, %v", s, err)
		}
		if _, err := SlaveName(master); err != nil {
			t.Errorf("sent file: %v", err)
		}
		_ = f.Close()
		_ = l.Close()
		if err := Send(filepath.Join(dir, "s"), "x", master); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("to nobody: %v", err)
		}
	}
}

func TestSendPidfd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command("/bin/cat")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	err = Send(path, PidfdCreate, pidfd)
	_ = pidfd.Close()
	if err != nil {
		t.Fatal(err)
	}
	name, f, err := receive(l)
	if err != nil || name != "standard" {
		t.Fatalf("received %q, %v", name, err)
	}
	defer f.Close()
	if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestSendFaults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"":                         unix.ENOENT,
		filepath.Join(dir, "none"): unix.ENOENT,
		file:                       unix.ECONNREFUSED,
		dir:                        unix.ECONNREFUSED,
		"@abstract":                unix.ENOENT,
		file + "/x":                unix.ENOTDIR,
	} {
		if err := Send(path, "x", os.Stdin); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 4096)} {
		if err := Send(file, name, os.Stdin); err == nil {
			t.Errorf("name of %d bytes", len(name))
		}
	}
}
