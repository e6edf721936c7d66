package e2e

import (
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// pidKinds gives a container a PID namespace of each kind; in a joined one, the process is not the
// first.
func pidKinds(t *testing.T) map[string]func(*specs.Spec) {
	t.Helper()
	other := harness.New(t)
	joined := nsFile(other.Up(), "pid")
	return map[string]func(*specs.Spec){
		"new":    nop,
		"joined": harness.WithNamespace("pid", joined),
		"host":   harness.WithoutNamespace("pid"),
	}
}

// TestKillCreated: the signals that end a process without a handler end a created container, and no
// others do.
func TestKillCreated(t *testing.T) {
	harness.OrlopOnly(t, "runc's process ends with a status of Go's")
	for kind, change := range pidKinds(t) {
		b := harness.New(t, change)
		create := func() int {
			b.Create()
			return b.State().Pid
		}
		for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGUSR1, unix.SIGSEGV, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM,
			unix.SIGXCPU, unix.SIGIO, 34, 64, unix.SIGKILL} {
			pid := create()
			b.OK("kill", b.ID, strconv.Itoa(int(sig)))
			if status := b.WaitStatus(pid); status != 128+int(sig) {
				t.Errorf("%s PID namespace, signal %d: status %d", kind, int(sig), status)
			}
			b.Status(specs.StateStopped)
			b.Fails("container has stopped", "start", b.ID)
			b.OK("delete", b.ID)
		}
		pid := create()
		for _, sig := range []unix.Signal{unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH} {
			b.OK("kill", b.ID, strconv.Itoa(int(sig)))
		}
		b.Status(specs.StateCreated)
		b.OK("start", b.ID)
		if status := b.WaitStatus(pid); status != 0 {
			t.Errorf("%s PID namespace: status %d of a program that nobody killed", kind, status)
		}
		b.OK("delete", b.ID)
	}
}

// TestKillAtStart: a signal at the moment of the start ends the container or reaches the program's
// handler.
func TestKillAtStart(t *testing.T) {
	const rounds = 40
	b := harness.New(t, harness.Sh("trap 'exit 7' TERM; grep SigBlk /proc/self/status; while :; do sleep 1000 & wait; done"))
	started := 0
	for round := range rounds {
		lines := b.Create()
		pid := b.State().Pid
		kill, start := b.Cmd("kill", b.ID, "TERM"), b.Cmd("start", b.ID)
		first, second := kill, start
		if round%2 == 1 {
			first, second = start, kill
		}
		p := first.Start()
		second.Run()
		p.Wait()
		line, up := lines.More()
		if !up {
			if status := b.WaitStatus(pid); status != 128+int(unix.SIGTERM) && status != 7 {
				t.Errorf("status %d of a container that has not run", status)
			}
			b.OK("delete", b.ID)
			continue
		}
		started++
		if line != "SigBlk:\t0000000000000000" {
			t.Errorf("the program begins with %q", line)
		}
		// The first one may have come before the program had its handler, or has ended it.
		b.Do("kill", b.ID, "TERM")
		if status := b.WaitStatus(pid); status != 7 {
			t.Errorf("status %d of a program that handles the signal", status)
		}
		b.OK("delete", b.ID)
	}
	t.Logf("%d of %d started", started, rounds)
}
