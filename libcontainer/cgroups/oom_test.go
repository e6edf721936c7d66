package cgroups

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

const (
	hogLimit = 16 << 20
)

// hog uses memory until it is killed.
func hog(t *testing.T, m *Manager) int {
	t.Helper()
	return spawn(t, m, "/bin/sh", "-c", "x=0123456789; while :; do x=$x$x; done")
}

func pidfd(t *testing.T, pid int) *os.File {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { f.Close() })
	return f
}

// limited returns a cgroup with little memory.
func limited(t *testing.T) *Manager {
	t.Helper()
	return created(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(hogLimit)), Swap: ptr(int64(hogLimit))}})
}

func watch(t *testing.T, m *Manager, pid int) *OOMWatch {
	t.Helper()
	w, err := m.WatchOOM(pidfd(t, pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// waits calls Wait with a timeout. An additional report of lack of memory is no error: v1 may
// report one kill twice.
func waits(t *testing.T, w *OOMWatch, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang.Limit)
	defer cancel()
	err := w.Wait(ctx)
	for want != nil && err == nil {
		err = w.Wait(ctx)
	}
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Fatalf("Wait: %v, want %v", err, want)
	}
}

func TestOOMWatch(t *testing.T) {
	m := limited(t)
	first := spawn(t, m, "/bin/sleep", "1000")
	w := watch(t, m, first)
	if !w.Sees() {
		t.Fatal("sees no memory controller")
	}
	for range 2 {
		pid := hog(t, m)
		waits(t, w, nil)
		if status := exitStatus(t, pid); status != 128+9 {
			t.Errorf("hog: status %d", status)
		}
		// Nothing more comes, and a context that is done does not damage the watch.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		for err := error(nil); err != context.DeadlineExceeded; {
			if err = w.Wait(ctx); err != nil && err != context.DeadlineExceeded {
				t.Fatalf("Wait: %v", err)
			}
		}
		cancel()
	}
	unix.Kill(first, unix.SIGKILL)
	exitStatus(t, first)
	waits(t, w, io.EOF)
	waits(t, w, io.EOF) // stays so
}

// TestOOMOfFirst: the process whose exit ends the watch is the one that is killed, and the kill is
// reported before the exit.
func TestOOMOfFirst(t *testing.T) {
	m := limited(t)
	pid := spawn(t, m, "/bin/sh", "-c", "kill -STOP $$; x=0123456789; while :; do x=$x$x; done")
	w := watch(t, m, pid)
	waitTest(t, "the process to stop", func() bool {
		var status unix.WaitStatus
		got, err := unix.Wait4(pid, &status, unix.WUNTRACED|unix.WNOHANG, nil)
		return err == nil && got == pid && status.Stopped()
	})
	unix.Kill(pid, unix.SIGCONT)
	// exitStatus waits, so everything has happened when the watch looks.
	if status := exitStatus(t, pid); status != 128+9 {
		t.Fatalf("status %d", status)
	}
	waits(t, w, nil)
	waits(t, w, io.EOF)
}

func TestOOMWatchEnds(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		w := watch(t, limited(t), os.Getpid())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := w.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait: %v", err)
		}
		if err := w.Wait(ctx); err != context.Canceled {
			t.Errorf("Wait again: %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		w := watch(t, limited(t), os.Getpid())
		time.AfterFunc(10*time.Millisecond, func() { w.Close() })
		waits(t, w, os.ErrClosed)
		waits(t, w, os.ErrClosed)
	})
	t.Run("cgroup removed", func(t *testing.T) {
		// This is not lack of memory, although it wakes v1's watch.
		m := limited(t)
		w := watch(t, m, os.Getpid())
		if err := m.Delete(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := w.Wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("Wait: %v", err)
		}
	})
}

// TestOOMWithoutMemory: without a controller the watch reports the exit.
func TestOOMWithoutMemory(t *testing.T) {
	needRoot(t)
	m := Load(Layout{}, map[string]string{"pids": t.TempDir(), "": t.TempDir()})
	process, err := os.StartProcess("/bin/cat", []string{"cat"}, &os.ProcAttr{Files: []*os.File{}})
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t, m, process.Pid)
	if w.Sees() {
		t.Error("sees a memory controller")
	}
	process.Kill()
	waits(t, w, io.EOF)
	process.Wait()
}
