package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// bombEnv makes this package's test binary a process of a container that forks whenever the kernel
// allows it.
const bombEnv = "ORLOP_TEST_BOMB"

// bomb forks endlessly. It only makes raw system calls, because the Go runtime cannot start a
// thread in a full cgroup.
func bomb() {
	fmt.Println("up")
	for {
		if pid, _, err := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0); err == 0 && pid == 0 {
			for {
				unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
			}
		}
	}
}

// TestPidsLimitHolds: a process of the container forks whenever the kernel allows it. However often
// processes enter the full container, it never has more than linux.resources.pids.limit.
func TestPidsLimitHolds(t *testing.T) {
	const limit = 50
	mount := harness.CgroupMount("pids")
	if mount == "" {
		mount = harness.CgroupMount("")
	}
	most := int64(limit)
	b := harness.New(t, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &most}}
		s.Process.Env = append(s.Process.Env, bombEnv+"=1", "GOMAXPROCS=1")
	})
	harness.CopySelf(t, filepath.Join(b.Rootfs, "bomb"))
	b.Up(harness.Args("/bomb"))
	current := filepath.Join(mount, b.Cgroup, "pids.current")
	if _, err := os.Stat(current); err != nil {
		t.Skip("no pids controller here: ", err)
	}
	processes := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(read(t, current)))
		must(t, err)
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); processes() < limit; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d processes after ten seconds: the container is not full, so this shows nothing", processes())
		}
	}
	attempts(t, 30, func(int) {
		b.Do("exec", b.ID, "true")
		if n := processes(); n > limit {
			t.Errorf("the container has %d processes, and its limit is %d", n, limit)
		}
	})
}
