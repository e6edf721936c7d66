package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// litter is what the second process does in place of tests in TestGround. It leaves cgroups as engines do, with a process in the
// innermost, and tells where; then it ends, or somebody is killed.
func litter(how string) int {
	if how == "nothing" {
		return 0
	}
	sleep := exec.Command("sleep", "1000")
	sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sleep.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for line := range strings.Lines(string(data)) {
		inner := filepath.Join(harness.CgroupMount(strings.Split(line, ":")[1]), "docker/inner")
		if err := os.MkdirAll(inner, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// Not in cpuset's, which has no processors yet.
		os.WriteFile(filepath.Join(inner, "cgroup.procs"), []byte(fmt.Sprint(sleep.Process.Pid)), 0)
		os.WriteFile(filepath.Join(inner, "freezer.state"), []byte("FROZEN"), 0)
	}
	fmt.Println(sleep.Process.Pid, filepath.Base(os.Getenv(groundEnv)))
	switch how {
	case "kill":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "kill both":
		unix.Kill(os.Getppid(), unix.SIGKILL)
		unix.Pause() // until this one is killed for the other's sake
	}
	return 0
}

// TestGround: nothing that the tests leave stays on the host, and they fail for it.
func TestGround(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if onSystemd() {
		t.Skip("systemd keeps the cgroups here")
	}
	if os.Getenv(groundEnv) == "" {
		t.Skip(os.Getenv(lackEnv))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, how string) (a answer, pid, ground string) {
		t.Helper()
		c := &client{argv: []string{self}, env: []string{litterEnv + "=" + how, groundEnv + "="}}
		a = c.do(t)
		if found := regexp.MustCompile(`^(\d+) (` + groundName + `\d+)\n`).FindStringSubmatch(a.out); found != nil {
			pid, ground = found[1], found[2]
		} else if how != "nothing" {
			t.Fatalf("status %d\n%s%s", a.status, a.out, a.err)
		}
		return a, pid, ground
	}
	gone := func(t *testing.T, pid, ground string) {
		t.Helper()
		for _, pattern := range []string{"/sys/fs/cgroup/*/" + ground, "/sys/fs/cgroup/" + ground, filepath.Join(os.TempDir(), ground)} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				t.Errorf("still there: %q", found)
			}
		}
		eventually(t, "the process is gone", func() bool { return !exists("/proc/" + pid) })
	}
	t.Run("nothing is left", func(t *testing.T) {
		a, _, _ := run(t, "nothing")
		a.exits(t, 0)
	})
	for _, how := range []string{"end", "kill"} {
		t.Run(how, func(t *testing.T) {
			a, pid, ground := run(t, how)
			a.says(t, 1, "process "+pid+" sleep 1000")
			gone(t, pid, ground)
		})
	}
	t.Run("kill both", func(t *testing.T) {
		a, pid, ground := run(t, "kill both")
		equal(t, "status", fmt.Sprint(a.status), "137")
		if found, _ := filepath.Glob("/sys/fs/cgroup/*/" + ground); len(found) == 0 && !exists("/sys/fs/cgroup/"+ground) {
			t.Error("nothing is left to be cleared up by the next run")
		}
		a, _, _ = run(t, "nothing")
		a.exits(t, 0)
		gone(t, pid, ground)
	})
}
