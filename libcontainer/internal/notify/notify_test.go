package notify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// manager returns a service manager's socket, and a function that closes it.
func manager(t *testing.T, address string) (fd int, end func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { unix.Close(fd) })
	t.Cleanup(end)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		t.Fatal(err)
	}
	return fd, end
}

// read reads one message, and closes the descriptors that came with it.
func read(fd int) (string, error) {
	buffer, control := make([]byte, 1000), make([]byte, unix.CmsgSpace(4))
	n, ctl, _, _, err := unix.Recvmsg(fd, buffer, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return "", err
	}
	messages, err := unix.ParseSocketControlMessage(control[:ctl])
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return "", err
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	return string(buffer[:n]), err
}

func TestTell(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(deep)
	for _, where := range []string{filepath.Join(deep, "sock"), fmt.Sprintf("@orlop-notify-test-%d", os.Getpid())} {
		address := where
		if address[0] == '/' {
			address = "sock" // an address limits the length of a bound path
		}
		fd, _ := manager(t, address)
		told := make(chan error, 1)
		go func() { told <- Tell(where, 77) }()
		for _, want := range []string{"MAINPID=77\nREADY=1", "BARRIER=1"} {
			if got, err := read(fd); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", where, got, err, want)
			}
		}
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{"", "vsock:2:1", "relative", filepath.Join(deep, "nothing")} {
		if err := Tell(address, 1); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestTellDeaf: a service manager that exits without an answer.
func TestTellDeaf(t *testing.T) {
	address := filepath.Join(t.TempDir(), "sock")
	fd, end := manager(t, address)
	told := make(chan error, 1)
	go func() { told <- Tell(address, 77) }()
	if _, err := read(fd); err != nil {
		t.Fatal(err)
	}
	// It gets the barrier, and exits without having read it.
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-told; err != nil {
		t.Error(err)
	}
}

// process starts a process that exits when its standard input ends.
func process(t *testing.T) (pidfd *os.File, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd = os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() {
		in.Close()
		pidfd.Close()
		cmd.Wait()
	})
	return pidfd, func() { in.Close() }
}

func TestReady(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for range 2 { // the second one takes over the name
		s, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir.Name(), name))
		if err != nil || info.Mode() != os.ModeSocket|0o777 {
			t.Errorf("%v, %v", info, err)
		}
		pidfd, end := process(t)
		say := func(message string, rights []byte) {
			t.Helper()
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			to := &unix.SockaddrUnix{Name: filepath.Join(dir.Name(), name)}
			if err := unix.Sendmsg(fd, []byte(message), rights, to, 0); err != nil {
				t.Fatal(err)
			}
		}
		pipe := make([]int, 2)
		if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		reader := os.NewFile(uintptr(pipe[0]), "pipe")
		for _, message := range []string{"", "READY=0", "XREADY=1\nSTATUS=READY=1", "MAINPID=1", strings.Repeat("x", 2*maxMessage)} {
			say(message, nil)
		}
		say("FDSTORE=1\nREADY=1\nMAINPID=1\n", unix.UnixRights(pipe[1]))
		unix.Close(pipe[1])
		if ready, err := s.Ready(pidfd, nil); !ready || err != nil {
			t.Errorf("%v, %v", ready, err)
		}
		if _, err := io.ReadAll(reader); err != nil { // nobody has the descriptor any more
			t.Error(err)
		}
		reader.Close()
		// A message from before its exit counts.
		say("READY=1", nil)
		end()
		if ready, err := s.Ready(pidfd, nil); !ready || err != nil {
			t.Errorf("%v, %v", ready, err)
		}
		if ready, err := s.Ready(pidfd, nil); ready || err != nil {
			t.Errorf("after the end: %v, %v", ready, err)
		}
		s.Close()
	}
}

// TestListenFollowsNothing: a link in the socket's place is removed, not its target.
func TestListenFollowsNothing(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(dir.Name(), name))); err != nil {
		t.Fatal(err)
	}
	if err := makeWritable(filepath.Join(dir.Name(), name)); !errors.Is(err, unix.ENOTSOCK) {
		t.Error(err)
	}
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
