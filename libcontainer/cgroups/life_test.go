package cgroups

import (
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

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/hang"
)

func TestCreateUndoesItself(t *testing.T) {
	needRoot(t)
	layout := hostLayout(t)
	m, err := New(layout, "/"+testID(t)+"-parent/below", "id")
	if err != nil {
		t.Fatal(err)
	}
	// The minimum is 1 ms.
	bad := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5))}}
	err = m.Create(bad)
	if field := refusedField(err); field != "linux.resources.cpu.quota" && field != "linux.resources.devices" {
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

// TestDeletePartial: a runtime was killed while it created. There is also a cgroup inside, as an
// init system makes it.
func TestDeletePartial(t *testing.T) {
	m := created(t, nil)
	dir := m.oneDirectory()
	for _, f := range m.all()[1:] {
		os.Remove(f.dir)
	}
	if err := os.MkdirAll(dir+"/in/deeper", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Load(Layout{}, m.Paths()).Delete(); err != nil {
		t.Error(err)
	}
	again, err := New(hostLayout(t), "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Create(nil); err != nil {
		t.Fatal(err)
	}
	second, err := New(hostLayout(t), "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Create(nil); !errors.Is(err, ErrOccupied) {
		t.Errorf("create of what was made meanwhile: %v", err)
	}
	third, err := New(hostLayout(t), "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	if !third.Find() {
		t.Error("not found")
	}
	if err := third.Create(nil); err != nil {
		t.Errorf("create over leftovers: %v", err)
	}
}

func TestDeleteWaits(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "1000")
	start := time.Now()
	err := m.delete(20 * time.Millisecond)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), strconv.Itoa(pid)) {
		t.Errorf("a living process: error %v", err)
	}
	if took := time.Since(start); took > hang.Limit {
		t.Errorf("took %v", took)
	}
	killed := make(chan error, 1)
	go func() {
		runtime.Gosched()
		killed <- syscall.Kill(pid, syscall.SIGKILL)
	}()
	// It exits while Delete waits, and is not reaped.
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

// TestGoneMeanwhile: a cgroup that is removed while its events are awaited counts as having had
// every event.
func TestGoneMeanwhile(t *testing.T) {
	m := created(t, nil)
	if m.unified.dir == "" {
		t.Skip("no cgroup2 here")
	}
	fd, err := sys.OpenFd(m.unified.dir+"/cgroup.events", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := m.Delete(); err != nil {
		t.Fatal(err)
	}
	if happened, err := hasEvent(fd, "no such line"); !happened || err != nil {
		t.Errorf("got %v, %v", happened, err)
	}
}

// TestDeleteEmpty: it gives up at a process, or a cgroup below, and only removes empty directories.
func TestDeleteEmpty(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "1000")
	if m.DeleteEmpty() {
		t.Error("a cgroup with a process counts as deleted")
	}
	if strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) != len(m.all()) {
		t.Errorf("the process is in\n%s", cgroupsOf(t, strconv.Itoa(pid)))
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	exitStatus(t, pid)
	if err := os.Mkdir(m.oneDirectory()+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	if m.DeleteEmpty() {
		t.Error("a cgroup with one below counts as deleted")
	}
	if err := os.Remove(m.oneDirectory() + "/in"); err != nil {
		t.Fatal(err)
	}
	if !m.DeleteEmpty() || m.Exists() {
		t.Error("an empty cgroup stays")
	}
	if !m.DeleteEmpty() {
		t.Error("one that is gone stays")
	}
}

func TestFreeze(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "1000")
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
	again.Find()
	if err := again.Create(nil); !errors.Is(err, ErrFrozen) {
		t.Errorf("Create: error %v", err)
	}
	var second int
	entry, join := m.Entry(true, false), ""
	for _, h := range entry.Last {
		tasks, err := m.Tasks(h)
		if err != nil {
			t.Fatal(err)
		}
		defer tasks.Close()
		join += "echo 0 >" + tasks.Name() + "; "
	}
	if err := m.SpawnInto(entry, forkExec(m, entry.First, &second, "/bin/sh", "-c", join+"exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	waitTest(t, "the process to join the freezer", func() bool {
		return strings.Count(cgroupsOf(t, strconv.Itoa(second)), testID(t)) == strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t))
	})
	if strings.Count(cgroupsOf(t, strconv.Itoa(second)), testID(t)) != strings.Count(cgroupsOf(t, strconv.Itoa(pid)), testID(t)) {
		t.Errorf("not in all hierarchies:\n%s", cgroupsOf(t, strconv.Itoa(second)))
	}
	// SIGKILL reaches frozen processes.
	if err := m.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitEmpty(hang.Limit); err != nil {
		t.Error(err)
	}
	for _, pid := range []int{pid, second} {
		if got := exitStatus(t, pid); got != 137 {
			t.Errorf("status %d", got)
		}
	}
}

func TestKill(t *testing.T) {
	// A process that forks without an end, within bounds; the test reaps its children.
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
		if err := m.WaitEmpty(hang.Limit); err != nil {
			t.Error(err)
		}
		for {
			if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
				break
			}
		}
		if err := m.Delete(); err != nil {
			t.Error(err)
		}
	}
}

func TestSignal(t *testing.T) {
	m := created(t, nil)
	pid := spawn(t, m, "/bin/sleep", "1000")
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

// refusedField returns the field of a resource that could not be set; "" for another error.
func refusedField(err error) string {
	var f *specconv.FieldError
	var r *ResourceError
	if !errors.As(err, &f) || !errors.As(f, &r) {
		return ""
	}
	return f.Path
}
