package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// psJSON returns the PIDs of a container's processes, sorted.
func psJSON(t *testing.T, b *harness.Box) []int {
	t.Helper()
	var pids []int
	must(t, json.Unmarshal([]byte(b.OK("ps", "--format", "json", b.ID)), &pids))
	slices.Sort(pids)
	return pids
}

// TestPS: all processes of the container and no others, as PIDs of the host.
func TestPS(t *testing.T) {
	b := harness.New(t)
	b.Fails("does not exist", "ps", b.ID)
	b.Create()
	first := b.State().Pid
	if pids := psJSON(t, b); !slices.Equal(pids, []int{first}) {
		t.Errorf("created: %v, want %d", pids, first)
	}
	b.OK("delete", "--force", b.ID)

	first = b.Up()
	second := childOf(t, first, "sleep")
	lines := b.Lines()
	execIt := b.Cmd("exec", "--detach", b.ID, "sh", "-c", "trap '' TERM; echo up; exec sleep 4711")
	execIt.Stdout = lines.Writer
	execIt.Run().OK(b)
	lines.Writer.Close()
	lines.Next()
	pids := psJSON(t, b)
	if len(pids) != 3 || !slices.Contains(pids, first) || !slices.Contains(pids, second) {
		t.Errorf("%v, want three with %d and %d", pids, first, second)
	}
	b.OK("pause", b.ID)
	if paused := psJSON(t, b); !slices.Equal(paused, pids) {
		t.Errorf("paused: %v, want %v", paused, pids)
	}
	b.OK("resume", b.ID)

	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("needs ps (Debian: procps)")
	}
	for _, tt := range []struct {
		args    []string
		heading string
	}{
		{nil, "UID PID PPID C STIME TTY TIME CMD"},
		{[]string{"-ef"}, "UID PID PPID C STIME TTY TIME CMD"},
		{[]string{"aux"}, "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"},
		{[]string{"-e", "-o", "ppid,pid,args"}, "PPID PID COMMAND"},
		{[]string{"-eo", "pid"}, "PID"},
	} {
		heading, rows, _ := strings.Cut(b.OK(append([]string{"ps", b.ID}, tt.args...)...), "\n")
		if got := strings.Join(strings.Fields(heading), " "); got != tt.heading {
			t.Errorf("%q: heading %q, want %q", tt.args, got, tt.heading)
		}
		column := slices.Index(strings.Fields(heading), "PID")
		var got []int
		for row := range strings.Lines(rows) {
			pid, err := strconv.Atoi(strings.Fields(row)[column])
			must(t, err)
			got = append(got, pid)
		}
		if slices.Sort(got); !slices.Equal(got, pids) {
			t.Errorf("%q: processes %v, want %v:\n%s", tt.args, got, pids, rows)
		}
		if tt.args == nil && !strings.Contains(rows, "sleep 4711") {
			t.Errorf("rows are cut:\n%s", rows)
		}
	}
	b.Fails("", "ps", b.ID, "--no-such-option")
	b.Fails("PID", "ps", b.ID, "-eo", "comm")
	b.Fails("format", "ps", "--format", "xml", b.ID)
}

// TestPSOfStopped: there are no processes, or those that outlive the first one.
func TestPSOfStopped(t *testing.T) {
	b := harness.New(t)
	pid := b.Up()
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	if harness.Name() == "orlop" {
		if out := b.OK("ps", "--format", "json", b.ID); out != "[]\n" {
			t.Errorf("stopped: %q", out)
		}
		if out := b.OK("ps", b.ID); strings.Count(out, "\n") != 1 || !strings.Contains(out, "PID") {
			t.Errorf("stopped: %q", out)
		}
	}
	other := harness.New(t, harness.WithoutNamespace("pid"), harness.Sh("sleep 1000 & echo $!"))
	lines := other.Create()
	first := other.State().Pid
	other.OK("start", other.ID)
	left, err := strconv.Atoi(lines.Next())
	must(t, err)
	other.WaitGone(first)
	other.Status("stopped")
	if pids := psJSON(t, other); !slices.Equal(pids, []int{left}) {
		t.Errorf("left over: %v, want %d", pids, left)
	}
}

// TestPSInPidNamespace: PIDs are those of the caller's PID namespace, even if that is not the
// host's.
func TestPSInPidNamespace(t *testing.T) {
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("needs unshare (Debian: util-linux)")
	}
	b := harness.New(t)
	b.Up()
	c := b.Cmd("ps", "--format", "json", b.ID)
	c.Wrap = []string{"unshare", "--pid", "--fork", "--mount-proc"}
	r := c.Run()
	if r.Status == 0 && strings.TrimSpace(r.Stdout) != "[]" && strings.TrimSpace(r.Stdout) != "null" {
		t.Errorf("from a namespace that does not see them: %q", r.Stdout)
	}
}

// TestLookWhileStarting: a command that only inspects a container does not wait for one that
// changes it, however long that takes.
func TestLookWhileStarting(t *testing.T) {
	harness.OrlopOnly(t, "runc's create runs poststart hooks, too")
	needBusybox(t)
	b := harness.New(t, harness.Args("sleep", "1000"))
	entered, leave := filepath.Join(b.Dir, "entered"), filepath.Join(b.Dir, "leave")
	for _, path := range []string{entered, leave} {
		must(t, unix.Mkfifo(path, 0o600))
	}
	addHook(b, "poststart", "echo in >"+entered+"; read line <"+leave)
	b.Create()
	pid := b.State().Pid
	start := b.Cmd("start", b.ID).Start()
	if line := read(t, entered); line != "in\n" {
		t.Fatalf("hook: %q", line)
	}
	if pids := psJSON(t, b); !slices.Equal(pids, []int{pid}) {
		t.Errorf("ps: %v, want %d", pids, pid)
	}
	b.OK("events", "--stats", b.ID)
	must(t, os.WriteFile(leave, []byte("\n"), 0))
	start.Wait().OK(b)
}

// TestNoCgroup: without a cgroup nothing is counted.
func TestNoCgroup(t *testing.T) {
	harness.OrlopOnly(t, "runc has no such containers")
	b := harness.New(t, harness.Args("sleep", "1000"), func(s *specs.Spec) { s.Linux.Resources = nil })
	b.OK("--cgroup-manager", "disabled", "create", "--bundle", b.Bundle, b.ID)
	b.OK("start", b.ID)
	if pids, pid := psJSON(t, b), b.State().Pid; !slices.Equal(pids, []int{pid}) {
		t.Errorf("ps: %v, want %d", pids, pid)
	}
	for _, args := range [][]string{{"events", b.ID}, {"events", "--stats", b.ID}, {"stats", "--no-stream", b.ID}} {
		b.Fails("cgroup not exist", args...)
	}
	if out := b.OK("stats", "--no-stream", "--format", "json", "--interval", "1ms"); out != "[]\n" {
		t.Errorf("stats of all: %s", out)
	}
}
