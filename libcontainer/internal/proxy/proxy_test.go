package proxy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const limit = time.Minute

func start(t testing.TB, limit time.Duration, stops ...*os.File) *Process {
	t.Helper()
	p, err := Start(-1, limit, stops)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pidfd, err := p.Kill()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, -1); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestCall: another process makes the call, and this one has what it opened.
func TestCall(t *testing.T) {
	p := start(t, limit)
	pid, err := p.Call(unix.SYS_GETPID)
	if err != nil || pid != p.Pid() || pid == os.Getpid() {
		t.Errorf("getpid: %d, %v; the process is %d, and this one %d", pid, err, p.Pid(), os.Getpid())
	}
	name := filepath.Join(t.TempDir(), "file")
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_RDWR | unix.O_CLOEXEC
	fd, err := p.Call(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Text(name), Int(flags), Int(0o600))
	if err != nil {
		t.Fatal(err)
	}
	copy(p.Data(), "content")
	if n, err := p.Call(unix.SYS_PWRITE64, Int(fd), DataAt(0), Int(4), Int(3)); n != 4 || err != nil {
		t.Errorf("pwrite: %d, %v", n, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var got [16]byte
	if _, err := p.Call(unix.SYS_SYMLINKAT, Text("target"), Int(unix.AT_FDCWD), Text(name+"-link")); err != nil {
		t.Error(err)
	}
	if target, err := os.Readlink(name + "-link"); target != "target" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := p.Call(unix.SYS_MKDIRAT, Int(unix.AT_FDCWD), Text(strings.Repeat("x", DataSize)), Int(0)); err != unix.E2BIG {
		t.Errorf("got %v, want E2BIG", err)
	}
	if n, err := f.Read(got[:]); err != nil || string(got[:n]) != "\x00\x00\x00cont" {
		t.Errorf("read %q, %v", got[:n], err)
	}
	if _, err := p.Call(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Text(name), Int(flags), Int(0o600)); err != unix.EEXIST {
		t.Errorf("got %v, want EEXIST", err)
	}
}

// TestCallsWhileGoWorks: signals, stack growth and garbage collection of this program do not affect
// the process.
func TestCallsWhileGoWorks(t *testing.T) {
	done, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for garbage := 0; ; garbage++ {
			select {
			case <-done:
				return
			default:
				_ = make([]byte, 1<<16)
				unix.Tgkill(os.Getpid(), os.Getpid(), unix.SIGURG)
			}
		}
	}()
	for range 20 {
		p := start(t, limit)
		for range 50 {
			if pid, err := p.Call(unix.SYS_GETPID); err != nil || pid != p.Pid() {
				t.Fatalf("%d, %v", pid, err)
			}
		}
	}
	close(done)
	<-ended
}

// TestCallEnds: a call ends with the process, with what stops it, and in time.
func TestCallEnds(t *testing.T) {
	pause := func(p *Process) error {
		_, err := p.Call(unix.SYS_PPOLL)
		return err
	}
	t.Run("killed", func(t *testing.T) {
		p := start(t, limit)
		time.AfterFunc(time.Millisecond, func() { unix.Kill(p.Pid(), unix.SIGKILL) })
		if err := pause(p); err != ErrKilled {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.AfterFunc(time.Millisecond, func() { w.Close() })
		var stopped *StoppedError
		if err := pause(start(t, limit, r)); !errors.As(err, &stopped) || stopped.Stop != 0 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("time", func(t *testing.T) {
		if err := pause(start(t, time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	p := start(b, limit)
	for b.Loop() {
		if _, err := p.Call(unix.SYS_GETPPID); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		start(b, limit)
	}
}
