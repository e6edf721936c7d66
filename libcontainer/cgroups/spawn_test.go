package cgroups

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestSpawnInEveryHierarchy(t *testing.T) {
	m := created(t, nil)
	for range 3 {
		pid := spawn(t, m, "/bin/sleep", "1000")
		// In every hierarchy that this host has mounted.
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
	pids, err := m.Processes()
	if err != nil || len(pids) != 3 {
		t.Errorf("processes %v, %v", pids, err)
	}
}

func (m *Manager) oneDirectory() string {
	if len(m.legacy) > 0 {
		return m.legacy[0].dir
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

func TestSpawnFailures(t *testing.T) {
	m := created(t, nil)
	errFork := errors.New("no fork today")
	if err := m.Spawn(func(int) error { return errFork }); err != errFork {
		t.Errorf("error %v", err)
	}
	if got := exitStatus(t, spawn(t, m, "/bin/true")); got != 0 {
		t.Errorf("spawn after a failure: status %d", got)
	}
	missing := Load(Layout{}, map[string]string{"cpu": "/nonexistent/cpu", "": "/nonexistent/unified"})
	if err := missing.Spawn(func(int) error { return nil }); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/nonexistent/unified") {
		t.Errorf("cgroup2 that is not there: %v", err)
	}
	if _, err := missing.Tasks("cpu"); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/nonexistent/cpu/tasks") {
		t.Errorf("v1 cgroup that is not there: %v", err)
	}
	if _, err := missing.Tasks("memory"); err == nil {
		t.Error("hierarchy that is not there: no error")
	}
}

// TestJoins: a process joins each v1 hierarchy once, the freezer last, and memory unless it does so
// later.
func TestJoins(t *testing.T) {
	paths := map[string]string{"cpu": "/c/a", "cpuacct": "/c/a", "freezer": "/f/a", "memory": "/m/a", "name=systemd": "/s/a", "": "/u/a"}
	m := Load(Layout{}, paths)
	want := []string{"cpu,cpuacct", "memory", "name=systemd", "freezer"}
	if got := m.Joins(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !m.JoinMemoryLater() {
		t.Error("there is a memory hierarchy")
	}
	want = []string{"cpu,cpuacct", "name=systemd", "freezer"}
	if got := m.Joins(); !slices.Equal(got, want) {
		t.Errorf("with memory later: %q, want %q", got, want)
	}
	if m := Load(Layout{}, map[string]string{"": "/u/a"}); len(m.Joins()) != 0 || m.JoinMemoryLater() {
		t.Errorf("cgroup2 alone: %q", m.Joins())
	}
}

// TestEntry: hierarchies that stop processes are joined last; full ones are joined after the PID
// namespace.
func TestEntry(t *testing.T) {
	first := map[string]string{"cpu": "/c/a", "freezer": "/f/a", "pids": "/p/a", "": "/u/a"}
	second := map[string]string{"": "/u/a"}
	hybrid := map[string]string{"cpu": "/c/a", "freezer": "/f/a", "": "/u/a"}
	for _, tt := range []struct {
		name         string
		paths        map[string]string
		frozen, full bool
		want         Entry
	}{
		{"v1", first, false, false, Entry{First: []string{"cpu", "pids", "freezer"}}},
		{"v1, frozen", first, true, false, Entry{First: []string{"cpu", "pids"}, Last: []string{"freezer"}}},
		{"v1, full", first, false, true, Entry{First: []string{"cpu", "freezer"}, Inside: []string{"pids"}}},
		{"v1, full and frozen", first, true, true, Entry{First: []string{"cpu"}, Inside: []string{"pids", "freezer"}}},
		{"v2", second, false, false, Entry{}},
		{"v2, full", second, false, true, Entry{Inside: []string{"cgroup2"}}},
		{"v2, frozen", second, true, false, Entry{Last: []string{"cgroup2"}}},
		{"v2, full and frozen", second, true, true, Entry{Inside: []string{"cgroup2"}}},
		{"pids on v2", hybrid, false, false, Entry{First: []string{"cpu", "freezer"}}},
		{"pids on v2, full", hybrid, false, true, Entry{First: []string{"cpu", "freezer"}, Inside: []string{"cgroup2"}}},
		{"pids on v2, full and frozen", hybrid, true, true, Entry{First: []string{"cpu"}, Inside: []string{"cgroup2", "freezer"}}},
		{"pids and freezer in one hierarchy", map[string]string{"pids": "/p/a", "freezer": "/p/a"}, true, false, Entry{Last: []string{"freezer,pids"}}},
	} {
		if got := Load(Layout{}, tt.paths).Entry(tt.frozen, tt.full); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestSpawnWithoutLayout: a manager from a state record alone suffices.
func TestSpawnWithoutLayout(t *testing.T) {
	m := created(t, nil)
	loaded := Load(Layout{}, m.Paths())
	pid := spawn(t, loaded, "/bin/sleep", "1000")
	if !strings.Contains(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) {
		t.Errorf("%d is not in the cgroup", pid)
	}
	if err := loaded.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// This waits for the process, which nobody reaps.
	if err := loaded.Delete(); err != nil {
		t.Error(err)
	}
	exitStatus(t, pid)
}

// TestSpawnEarly: a process that started before its v1 cgroups were made is in all of them in the
// end, under exactly the configured limits.
func TestSpawnEarly(t *testing.T) {
	needRoot(t)
	m, err := New(hostLayout(t), "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Kill(unix.SIGKILL), m.Delete()); err != nil {
			t.Error(err)
		}
	})
	if len(m.Joins()) == 0 {
		t.Skip("no v1 hierarchy")
	}
	if err := m.CreateUnified(); err != nil {
		t.Fatal(err)
	}
	// The end of its input tells it that the cgroup is made.
	release, made, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	var pid int
	err = m.SpawnEarly(func(unifiedFD int) (err error) {
		script := "read x; "
		for _, h := range m.Joins() {
			script += "echo 0 >" + m.TasksPath(h) + " || exit 1; "
		}
		pid, err = syscall.ForkExec("/bin/sh", []string{"sh", "-c", script + "exec sleep 1000"}, &syscall.ProcAttr{
			Env: []string{"PATH=/bin:/usr/bin"}, Files: []uintptr{release.Fd()}, Sys: &syscall.SysProcAttr{UseCgroupFD: unifiedFD >= 0, CgroupFD: unifiedFD}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Create(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}); err != nil {
		t.Fatal(err)
	}
	if f, _ := m.controllerDirectory("pids"); f != nil {
		if got := read(t, f.dir+"/pids.max"); got != "7" {
			t.Errorf("pids.max %s", got)
		}
	}
	made.Close()
	waitTest(t, "the process to join", func() bool {
		return strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) == len(m.all())
	})
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if got := exitStatus(t, pid); got != 128+int(unix.SIGKILL) {
		t.Errorf("status %d", got)
	}
}

// TestCreateAfterUnified: when Create fails, the cgroup2 directory stays for a process that is
// about to start there, and Undo removes everything, including the parents.
func TestCreateAfterUnified(t *testing.T) {
	needRoot(t)
	parent := testID(t)
	m, err := New(hostLayout(t), "/"+parent+"/below", "box")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.CreateUnified(); err != nil {
		t.Fatal(err)
	}
	bad := "nonsense"
	if err := m.Create(&specs.LinuxResources{Unified: map[string]string{bad: "1"}}); err == nil {
		t.Error("no error")
	}
	if m.unified.dir != "" && !m.Exists() {
		t.Error("the birthplace has gone before the process can be born")
	}
	m.Undo()
	for _, f := range append(m.legacy, m.unified) {
		if f.dir == "" {
			continue
		}
		if _, err := os.Stat(path.Dir(f.dir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path.Dir(f.dir), err)
		}
	}
}
