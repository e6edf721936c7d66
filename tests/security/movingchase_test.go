package security

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// movingChaseEnv makes this package's test binary a process of a container whose PID and cgroup
// keep changing.
const movingChaseEnv = "ORLOP_TEST_MOVING_CHASE"

// movingChase runs lines of processes, in which each moves to another cgroup, forks the next and
// exits.
func movingChase() {
	tasks, err := cgroupsToMoveTo()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := range 10 {
		if pid, _, err := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0); err == 0 && pid == 0 {
			runAway(tasks, 7*i)
		}
	}
	fmt.Println("up")
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// cgroupsToMoveTo makes cgroups below the container's in each hierarchy, and opens the files by
// which a process moves there.
func cgroupsToMoveTo() (tasks []int, err error) {
	tops := []string{"/sys/fs/cgroup"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.procs"); err != nil {
		if tops, err = filepath.Glob("/sys/fs/cgroup/*"); err != nil {
			return nil, err
		}
	}
	for _, top := range tops {
		if filepath.Base(top) == "cpuset" { // a new one has no processors, and accepts no process
			continue
		}
		for i := range 8 {
			below := fmt.Sprintf("%s/below%d", top, i)
			// cpu and cpuacct may be one hierarchy.
			if err := os.Mkdir(below, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return nil, err
			}
			fd, err := unix.Open(below+"/cgroup.procs", unix.O_WRONLY, 0)
			if err != nil {
				return nil, fmt.Errorf("open %s/cgroup.procs: %w", below, err)
			}
			tasks = append(tasks, fd)
		}
	}
	return tasks, nil
}

var zero = [1]byte{'0'}

// runAway only makes raw system calls, as in bomb.
func runAway(tasks []int, at int) {
	for {
		unix.RawSyscall(unix.SYS_WRITE, uintptr(tasks[at%len(tasks)]), uintptr(unsafe.Pointer(&zero)), 1)
		at++
		if pid, _, err := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0); err == 0 && pid != 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
}

// awaitMoves waits until processes are seen to enter or leave one of the cgroups below a
// container's.
func awaitMoves(t *testing.T, b *harness.Box) {
	t.Helper()
	mount := harness.CgroupMount("pids")
	if mount == "" {
		mount = harness.CgroupMount("")
	}
	path := filepath.Join(mount, b.Cgroup, "below0/cgroup.procs")
	before := read(t, path)
	for end := time.Now().Add(hang.Limit); read(t, path) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the trap is not armed: nothing moves, so this shows nothing")
		}
	}
}

// TestMovingChase: processes that fork and exit, and move between cgroups, faster than their
// cgroups can be read, are killed, and deleted with their cgroups, also in a shared PID namespace.
func TestMovingChase(t *testing.T) {
	harness.OrlopOnly(t, "others leave processes behind")
	first := harness.New(t).Up()
	most := int64(300)
	var boxes []*harness.Box
	for _, shared := range []bool{false, true} {
		b := harness.New(t, writableCgroups, func(s *specs.Spec) {
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &most}
			s.Process.Env = append(s.Process.Env, movingChaseEnv+"=1", "GOMAXPROCS=1")
		})
		if shared {
			harness.WithNamespace(specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", first))(b.Spec)
		}
		harness.CopySelf(t, filepath.Join(b.Rootfs, "self"))
		boxes = append(boxes, b)
	}
	attempts(t, 4, func(n int) {
		b := boxes[n%2]
		b.Up(harness.Args("/self"))
		awaitMoves(t, b)
		if n/2%2 == 0 {
			quick(b, "kill", b.ID, "KILL").OK(b)
		}
		quick(b, "delete", "--force", b.ID).OK(b)
		b.CheckClean()
	})
}
