package security

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// tracerEnv makes this package's test binary a process of a container that traces all others.
const tracerEnv = "ORLOP_TEST_TRACER"

// TestCVE2016_9962_Tracer: CVE-2016-9962. A process of the container traces every new process there
// until it is stopped: it cannot trace a process of the runtime that has not given up its
// privileges yet. That it can trace others shows that it is quick enough.
func TestCVE2016_9962_Tracer(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && string(scope) != "0\n" {
		t.Skip("only parents may trace here (kernel.yama.ptrace_scope)")
	}
	b := harness.New(t, harness.Writable)
	harness.CopySelf(t, filepath.Join(b.Rootfs, "tracer"))
	b.Up()
	stop := watch(t, b, "exec", "--env", tracerEnv+"=1", b.ID, "/tracer")
	attempts(t, 50, func(int) { b.OK("exec", b.ID, "usleep", "20000") })
	traced := stop()
	for _, line := range traced {
		if !strings.HasPrefix(line, "/bin/") {
			t.Errorf("traced: %s", line)
		}
	}
	if len(traced) == 0 {
		t.Error("nothing was traced: it does not show anything")
	}
}

// trace is the tracer: it seizes every process that it sees, and reports the program of each in a
// line.
func trace() {
	runtime.LockOSThread() // a tracer is a thread
	fmt.Println("ready")
	seen := map[int]bool{os.Getpid(): true, 1: true}
	for {
		if _, err := os.Stat("/stop"); err == nil {
			return
		}
		names, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return
		}
		for _, name := range names {
			pid, err := strconv.Atoi(filepath.Base(name))
			if err != nil || seen[pid] {
				continue
			}
			// Not marked as seen while it is refused: it is tried again until the process exits.
			if unix.PtraceSeize(pid) == nil {
				seen[pid] = true
				found(pid)
			}
		}
	}
}

// found stops a seized process, reports its program, and releases it.
func found(pid int) {
	if unix.PtraceInterrupt(pid) != nil {
		return
	}
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
			return
		}
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
			fmt.Println(program)
		}
		if unix.PtraceDetach(pid) == nil {
			return
		}
	}
}
