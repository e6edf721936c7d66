package cgroups

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// These tests work on the host's real hierarchies, in cgroups of their own that are named orlop-test-*.

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func hostLayout(t testing.TB) Layout {
	t.Helper()
	layout, err := ReadLayout()
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

func testID(t testing.TB) string {
	name := []byte("orlop-test-" + t.Name() + "-" + strconv.Itoa(os.Getpid()))
	for i, c := range name {
		if c == '/' {
			name[i] = '-'
		}
	}
	return string(name)
}

func ptr[T any](v T) *T { return &v }

// dockerResources is what Docker 20.10 wrote into config.json for `docker run -m 512m --cpus 0.5 --pids-limit 100`.
func dockerResources(t testing.TB, r *specs.LinuxResources) {
	t.Helper()
	*r = specs.LinuxResources{
		Devices: parseDevices(t, docker).Devices,
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(536870912)), Swap: ptr(int64(1073741824)), DisableOOMKiller: ptr(false)},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(100))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
	}
}

// created gives a manager whose folders are made, and which is killed and deleted after the test.
func created(t *testing.T, r *specs.LinuxResources) *Manager {
	t.Helper()
	needRoot(t)
	layout := hostLayout(t)
	if layout.Mode == None {
		t.Skip("no cgroup hierarchy is mounted")
	}
	m, err := New(layout, "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	err = m.Create(r)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		t.Skipf("the cgroup hierarchies cannot be written: %v", err)
	}
	if errors.Is(err, errNoController) {
		t.Skipf("this kernel lacks a controller: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Kill(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		if err := m.Delete(); err != nil {
			t.Error(err)
		}
		for _, dir := range m.Paths() {
			if _, err := os.Lstat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is left over (%v)", dir, err)
			}
		}
	})
	return m
}

// forkExec is a fork function for Spawn.
func forkExec(pid *int, argv ...string) func(int) error {
	return func(unifiedFD int) (err error) {
		*pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Env: []string{"PATH=/bin:/usr/bin"}, Files: []uintptr{},
			Sys: &syscall.SysProcAttr{UseCgroupFD: unifiedFD >= 0, CgroupFD: unifiedFD}})
		return err
	}
}

func spawn(t *testing.T, m *Manager, argv ...string) int {
	t.Helper()
	var pid int
	if err := m.Spawn(forkExec(&pid, argv...)); err != nil {
		t.Fatal(err)
	}
	return pid
}

// exitStatus reaps a child: its status, or 128 and its signal.
func exitStatus(t *testing.T, pid int) int {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.Fatalf("wait for %d: %v", pid, err)
		}
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}

// cgroupsOf gives the lines of /proc/PID/cgroup (also of a thread: "self/task/N").
func cgroupsOf(t *testing.T, pid string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

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

// waitTest is for what no event tells of, such as the end of a thread of our own.
func waitTest(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
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

func TestDockerResources(t *testing.T) {
	var r specs.LinuxResources
	dockerResources(t, &r)
	m := created(t, &r)
	if m.v1("memory") == nil || m.v1("devices") == nil || m.v1("cpu") == nil || m.v1("pids") == nil {
		t.Skip("reads the files of v1 controllers, which this host does not have")
	}
	pid := spawn(t, m, "/bin/sleep", "60")
	for file, want := range map[string]string{
		"memory/memory.limit_in_bytes": "536870912", "memory/memory.memsw.limit_in_bytes": "1073741824",
		"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "cpu/cpu.shares": "1024", "pids/pids.max": "100",
		"devices/devices.list": "c 1:5 rwm\nc 1:3 rwm\nc 1:9 rwm\nc 1:8 rwm\nc 5:0 rwm\nc 5:1 rwm\nc *:* m\nb *:* m\nc 1:7 rwm\nc 5:2 rwm\nc 136:* rwm",
	} {
		controller, name := filepath.Split(file)
		if got := read(t, filepath.Join(m.v1(filepath.Clean(controller)).dir, name)); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	_ = pid
}

// TestRaiseAndLower: one order of writes is right both ways.
func TestRaiseAndLower(t *testing.T) {
	m := created(t, nil)
	if m.v1("memory") == nil {
		t.Skip("no v1 memory controller")
	}
	for _, limits := range [][2]int64{{1 << 20, 2 << 20}, {8 << 20, 16 << 20}, {1 << 20, 1 << 20}, {-1, -1}, {4 << 20, 4 << 20}} {
		list, err := settings(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limits[0], Swap: &limits[1]}}, m.version, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.write(list); err != nil {
			t.Errorf("%v: %v", limits, err)
		}
	}
	list, _ := settings(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4 << 20)), Swap: ptr(int64(2 << 20))}}, m.version, true)
	if err := m.write(list); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a swap limit below the memory limit: error %v", err)
	}
}

func TestSmallLimits(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		if _, err := os.Stat("/bin/busybox"); err != nil {
			t.Skip("no busybox: a dynamic program may need more")
		}
		probe, err := New(hostLayout(t), "", "x")
		if err != nil {
			t.Fatal(err)
		}
		limit := int64(262144)
		if probe.version("memory") == v2 {
			limit = 4 << 20 // there a process is charged from its birth on, with what the kernel takes in advance for each processor
		}
		for i := range 20 {
			// Each in a new cgroup: what a dead process held is given back later, after an RCU grace period.
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				m := created(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
				if got := exitStatus(t, spawn(t, m, "/bin/busybox", "true")); got != 0 {
					t.Errorf("status %d", got)
				}
			})
		}
	})
	t.Run("pids", func(t *testing.T) {
		m := created(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}})
		if got := exitStatus(t, spawn(t, m, "/bin/true")); got != 0 {
			t.Errorf("status %d", got)
		}
		// A fork is refused, as soon as there is no more room than is configured.
		f, _ := m.place("pids")
		script := "while read max <" + f.dir + "/pids.max && [ $max != 1 ]; do :; done; /bin/true; exit 0"
		if got := exitStatus(t, spawn(t, m, "/bin/sh", "-c", script)); got == 0 {
			t.Error("a second process was allowed")
		}
		// One more from outside gets in, as it does by way of cgroup.procs, also by a manager from the state record.
		spawn(t, m, "/bin/sleep", "60")
		late := Load(hostLayout(t), m.Paths())
		for range 3 {
			spawn(t, late, "/bin/sleep", "60")
		}
		late.await()
		if got := read(t, f.dir+"/pids.max"); got != "1" {
			t.Errorf("pids.max %s afterwards", got)
		}
	})
}

func TestCreateUndoesItself(t *testing.T) {
	needRoot(t)
	layout := hostLayout(t)
	m, err := New(layout, "/"+testID(t)+"-parent/below", "id")
	if err != nil {
		t.Fatal(err)
	}
	bad := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5))}} // the least is 1 ms
	err = m.Create(bad)
	var re *ResourceError
	if !errors.As(err, &re) || re.Field != "linux.resources.cpu.quota" && re.Field != "linux.resources.devices" {
		if err == nil {
			m.Delete()
		}
		t.Errorf("error %v", err)
	}
	for _, dir := range m.Paths() {
		if _, err := os.Lstat(filepath.Dir(dir)); !os.IsNotExist(err) {
			t.Errorf("%s is left over", filepath.Dir(dir))
			m.Delete()
			os.Remove(filepath.Dir(dir))
		}
	}
}

// TestDeleteOfAHalf: a runtime was killed while it created. Also a cgroup inside, as an init system makes it.
func TestDeleteOfAHalf(t *testing.T) {
	m := created(t, nil)
	if m.Reused() {
		t.Error("a new cgroup counts as reused")
	}
	first, dir := true, m.folderOrUnified()
	m.all(func(f *folder) error {
		if !first {
			os.Remove(f.dir)
		}
		first = false
		return nil
	})
	if err := os.MkdirAll(dir+"/in/deeper", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Load(Layout{}, m.Paths()).Delete(); err != nil {
		t.Error(err)
	}
	if err := m.Create(nil); err != nil {
		t.Fatal(err)
	}
	again, err := New(hostLayout(t), "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Create(nil); err != nil || !again.Reused() {
		t.Errorf("create over leftovers: reused %v, %v", again.Reused(), err)
	}
}

func TestDeleteWaits(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "60")
	start := time.Now()
	err := m.delete(20 * time.Millisecond)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), strconv.Itoa(pid)) {
		t.Errorf("a living process: error %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	killed := make(chan error, 1)
	go func() {
		runtime.Gosched()
		killed <- syscall.Kill(pid, syscall.SIGKILL)
	}()
	// It dies while Delete waits, and is not reaped.
	if err := m.Delete(); err != nil {
		t.Error(err)
	}
	if err := <-killed; err != nil {
		t.Error(err)
	}
	if got := exitStatus(t, pid); got != 137 {
		t.Errorf("status %d", got)
	}
}

func TestFreeze(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "60")
	if frozen, err := m.Frozen(); frozen || err != nil {
		t.Errorf("Frozen() = %v, %v", frozen, err)
	}
	if err := m.Freeze(); err != nil {
		if errors.Is(err, errNoController) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if frozen, err := m.Frozen(); !frozen || err != nil {
		t.Errorf("Frozen() = %v, %v", frozen, err)
	}
	if err := m.Spawn(func(int) error { t.Error("fork was called"); return nil }); !errors.Is(err, ErrFrozen) {
		t.Errorf("Spawn: error %v", err)
	}
	again, _ := New(hostLayout(t), "", testID(t))
	if err := again.Create(nil); !errors.Is(err, ErrFrozen) {
		t.Errorf("Create: error %v", err)
	}
	var late int
	tasks, err := m.FreezerTasks()
	if err != nil {
		t.Fatal(err)
	}
	defer tasks.Close()
	if err := m.SpawnFrozen(nil, forkExec(&late, "/bin/sh", "-c", "echo 0 >"+tasks.Name()+"; exec sleep 60")); err != nil {
		t.Fatal(err)
	}
	waitTest(t, "the process to join the freezer", func() bool {
		return strings.Count(cgroupsOf(t, strconv.Itoa(late)), testID(t)) == strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t))
	})
	if strings.Count(cgroupsOf(t, strconv.Itoa(late)), testID(t)) != strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) {
		t.Errorf("not in all hierarchies:\n%s", cgroupsOf(t, strconv.Itoa(late)))
	}
	// SIGKILL reaches frozen processes.
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitEmpty(5 * time.Second); err != nil {
		t.Error(err)
	}
	for _, pid := range []int{pid, late} {
		if got := exitStatus(t, pid); got != 137 {
			t.Errorf("status %d", got)
		}
	}
}

func TestKill(t *testing.T) {
	// A process that forks without an end, within bounds; its children become ours.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	for _, v1Only := range []bool{false, true} {
		m := created(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(40))}})
		if v1Only {
			// As on a host without cgroup2: no cgroup.kill.
			paths := m.Paths()
			delete(paths, "")
			if len(paths) == 0 {
				continue
			}
			m = Load(hostLayout(t), paths)
		}
		spawn(t, m, "/bin/sh", "-c", "while :; do { /bin/true & } 2>/dev/null; done")
		waitTest(t, "the bomb to go off", func() bool {
			pids, _ := m.Processes()
			return len(pids) > 5
		})
		if err := m.Kill(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := m.WaitEmpty(5 * time.Second); err != nil {
			t.Error(err)
		}
		for {
			if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
				break
			}
		}
	}
}

func TestSignal(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "60")
	if err := m.Kill(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitStatus(t, pid); got != 128+15 {
		t.Errorf("status %d", got)
	}
	if err := m.Kill(unix.SIGTERM); err != nil {
		t.Errorf("kill in an empty cgroup: %v", err)
	}
}

// TestProcessesLeaveOutForkingRuntime: a runtime whose thread forks in the cgroup shows in cgroup.procs, and must not be
// killed with the container.
func TestProcessesLeaveOutForkingRuntime(t *testing.T) {
	m := created(t, nil)
	if len(m.folders) == 0 {
		t.Skip("no v1 hierarchy: no thread joins")
	}
	inside := Load(Layout{}, m.Paths())
	err := m.Spawn(func(int) error {
		procs := read(t, m.folders[0].dir+"/cgroup.procs")
		if procs != strconv.Itoa(os.Getpid()) {
			t.Errorf("cgroup.procs: %q", procs)
		}
		if pids, err := inside.Processes(); len(pids) > 0 || err != nil {
			t.Errorf("processes %v, %v", pids, err)
		}
		return inside.Kill(unix.SIGKILL)
	})
	if err != nil {
		t.Error(err)
	}
}
