package cgroups

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

// The tests that call this use the host's real hierarchies, in cgroups of their own that are named
// orlop-test-*.

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

// dockerResources is what Docker 20.10 wrote into config.json for `docker run -m 512m --cpus 0.5
// --pids-limit 100`.
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

// created returns a manager whose directories are made, and which is killed and deleted after the
// test.
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
	m.Find()
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

// joinFirst is a script that joins v1 hierarchies by the files of its first arguments, reports that
// by the end of file on descriptor 3, and executes what follows "--".
const joinFirst = `while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec 3>&-; exec "$@"`

// forkExec is a fork function for Spawn, whose process joins v1 hierarchies by itself. It returns
// once that has happened.
func forkExec(m *Manager, joins []string, pid *int, argv ...string) func(int) error {
	return func(unifiedFD int) (err error) {
		joined, done, err := os.Pipe()
		if err != nil {
			return err
		}
		defer joined.Close()
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		args := []string{"sh", "-c", joinFirst, "sh"}
		for _, name := range joins {
			tasks, err := m.Tasks(name)
			if err != nil {
				return err
			}
			args = append(args, tasks.Name())
			tasks.Close()
		}
		*pid, err = syscall.ForkExec("/bin/sh", append(append(args, "--"), argv...), &syscall.ProcAttr{
			Env: []string{"PATH=/bin:/usr/bin"}, Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), done.Fd()},
			Sys: &syscall.SysProcAttr{UseCgroupFD: unifiedFD >= 0, CgroupFD: unifiedFD}})
		done.Close()
		if err == nil {
			_, err = joined.Read(make([]byte, 1))
			if err == io.EOF {
				err = nil
			}
		}
		return err
	}
}

func spawn(t *testing.T, m *Manager, argv ...string) int {
	t.Helper()
	var pid int
	if err := errors.Join(m.Spawn(forkExec(m, m.Joins(), &pid, argv...)), m.Tighten()); err != nil {
		t.Fatal(err)
	}
	return pid
}

// exitStatus reaps a child and returns its status, or 128 and its signal.
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

// cgroupsOf returns the lines of /proc/PID/cgroup (also of a thread: "self/task/N").
func cgroupsOf(t *testing.T, pid string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// waitTest waits for what no event reports, such as the exit of one of the test's own threads.
func waitTest(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang.Limit); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
