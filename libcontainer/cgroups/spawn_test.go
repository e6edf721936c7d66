package cgroups

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSpawnInEveryHierarchy(t *testing.T) {
	m := created(t, nil)
	for range 3 {
		pid := spawn(t, m, "/bin/sleep", "60")
		// Everywhere where this host has a hierarchy mounted.
		layout, err := ParseLayout([]byte(hostMounts(t)), []byte(cgroupsOf(t, strconv.Itoa(pid))))
		if err != nil {
			t.Fatal(err)
		}
		paths := m.Paths()
		for _, h := range layout.Hierarchies {
			if h.Own != paths[h.Keys()[0]] {
				t.Errorf("%v: born in %s, not in %s", h.Keys(), h.Own, paths[h.Keys()[0]])
			}
		}
		if layout.UnifiedOwn != paths[""] {
			t.Errorf("cgroup2: born in %s, not in %s", layout.UnifiedOwn, paths[""])
		}
	}
	m.await()
	assertNoThreadIn(t, filepath.Base(m.folderOrUnified()))
	pids, err := m.Processes()
	if err != nil || len(pids) != 3 {
		t.Errorf("processes %v, %v", pids, err)
	}
	if empty, err := m.Empty(); empty || err != nil {
		t.Errorf("Empty() = %v, %v", empty, err)
	}
}

func (m *Manager) folderOrUnified() string {
	if len(m.folders) > 0 {
		return m.folders[0].dir
	}
	return m.unified.dir
}

func hostMounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// assertNoThreadIn looks for threads of this program in a cgroup of that name.
func assertNoThreadIn(t *testing.T, name string) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if b, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/cgroup"); err == nil && bytes.Contains(b, []byte(name)) {
			t.Errorf("thread %s (the process is %d) is still in the cgroup:\n%s", thread.Name(), os.Getpid(), b)
		}
	}
}

// TestSpawnFromMainThread: the goroutine of Spawn may find itself on the main thread, which is not to join.
func TestSpawnNeverOnMainThread(t *testing.T) {
	m := created(t, nil)
	for range 30 {
		var pid int
		fork := forkExec(&pid, "/bin/true")
		err := m.Spawn(func(fd int) error {
			if len(m.folders) > 0 && unix.Gettid() == unix.Getpid() {
				t.Error("fork runs on the main thread")
			}
			return fork(fd)
		})
		if err != nil {
			t.Fatal(err)
		}
		exitStatus(t, pid)
	}
}

func TestSpawnFailures(t *testing.T) {
	m := created(t, nil)
	errFork := errors.New("no fork today")
	if err := m.Spawn(func(int) error { return errFork }); err != errFork {
		t.Errorf("error %v", err)
	}
	for name, fork := range map[string]func(int) error{
		"panic":  func(int) error { panic("oh") },
		"goexit": func(int) error { runtime.Goexit(); return nil },
	} {
		func() {
			defer func() {
				if recover() == nil && len(m.folders) > 0 {
					t.Errorf("%s: Spawn returned", name)
				}
			}()
			if name == "goexit" && len(m.folders) == 0 {
				return // it runs on the caller's goroutine
			}
			m.Spawn(fork)
		}()
		m.await()
		waitTest(t, "threads to leave", func() bool {
			empty, err := m.Empty()
			return empty && err == nil
		})
	}
	assertNoThreadIn(t, testID(t))
	if got := exitStatus(t, spawn(t, m, "/bin/true")); got != 0 {
		t.Errorf("spawn after failures: status %d", got)
	}
	missing := Load(Layout{}, map[string]string{"cpu": "/nonexistent/cpu"})
	if err := missing.Spawn(func(int) error { return nil }); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/nonexistent/cpu/tasks") {
		t.Errorf("cgroup that is not there: %v", err)
	}
}

// TestSpawnWithoutLayout: a manager from a state record alone ends the thread in place of moving it back.
func TestSpawnWithoutLayout(t *testing.T) {
	m := created(t, nil)
	loaded := Load(Layout{}, m.Paths())
	pid := spawn(t, loaded, "/bin/sleep", "60")
	if !strings.Contains(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) {
		t.Errorf("%d is not in the cgroup", pid)
	}
	if err := loaded.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := loaded.Delete(); err != nil { // waits for the thread, and for the process, which nobody reaps
		t.Error(err)
	}
	assertNoThreadIn(t, testID(t))
	exitStatus(t, pid)
}
