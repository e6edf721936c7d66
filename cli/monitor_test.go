package cli

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCalmMonitor: the thread that gets coarse timers is not the main one nor one that was there to
// run goroutines.
func TestCalmMonitor(t *testing.T) {
	if os.Geteuid() != 0 || unix.Access("/proc/self/timerslack_ns", unix.W_OK) != nil {
		t.Skip("needs CAP_SYS_NICE and /proc/PID/timerslack_ns")
	}
	const fresh = "ORLOP_TEST_FRESH"
	if os.Getenv(fresh) == "" { // other tests have done it here
		// The process would have coarse timers from the beginning if a thread started it that the
		// calmed monitor has started.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 50000, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestCalmMonitor$")
		cmd.Env = append(os.Environ(), fresh+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	slackOf := func(thread string) string {
		slack, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
		if err != nil {
			return "" // it has ended
		}
		return strings.TrimSpace(string(slack))
	}
	own := slackOf(strconv.Itoa(unix.Gettid()))
	if got := calmMonitor(); strconv.Itoa(got) != own {
		t.Errorf("slack %d, want %s", got, own)
	}
	coarse := 0
	for _, thread := range threads { // those that were there before: the monitor's own children inherit from it
		if slackOf(thread.Name()) != monitorSlack {
			continue
		}
		coarse++
		if thread.Name() == strconv.Itoa(os.Getpid()) || thread.Name() == strconv.Itoa(unix.Gettid()) {
			t.Errorf("thread %s of process %d runs goroutines", thread.Name(), os.Getpid())
		}
	}
	if coarse != 1 {
		t.Errorf("%d threads have coarse timers", coarse)
	}
}
