package e2e

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// killedRounds is how often each test kills the runtime at a random moment.
func killedRounds() int {
	if testing.Short() {
		return 12
	}
	return 200
}

// latestKill returns the latest moment for killing a command: past the end of its work, twice the
// time that it needs here. The command runs after prepare, three times.
func latestKill(b *harness.Box, prepare func(), command ...string) time.Duration {
	least := time.Hour
	for range 3 {
		prepare()
		begin := time.Now()
		b.OK(command...)
		least = min(least, time.Since(begin))
		b.OK("delete", "--force", b.ID)
	}
	return 2 * least
}

// killAtRandom starts the command and kills the runtime alone at a random moment. The result shows
// whether that was too late.
func killAtRandom(c *harness.Command, latest time.Duration) harness.Result {
	p := c.Start()
	// The moment is the test's parameter: there is no event to wait for.
	time.Sleep(rand.N(latest))
	p.Signal(unix.SIGKILL)
	return p.Wait()
}

// TestKilledCreate: delete --force removes everything that a create or run leaves when it is killed
// at any moment.
func TestKilledCreate(t *testing.T) {
	harness.OrlopOnly(t, "others leave cgroups and processes")
	for _, command := range []string{"create", "run", "run --detach"} {
		t.Run(command, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			args := append(strings.Fields(command), "--bundle", b.Bundle, b.ID)
			latest := latestKill(b, func() {}, "create", "--bundle", b.Bundle, b.ID)
			killed, rounds := 0, killedRounds()
			for range rounds {
				r := killAtRandom(b.Cmd(args...), latest)
				if r.Status == 137 {
					killed++
				} else {
					r.OK(b)
				}
				b.OK("list")
				b.OK("delete", "--force", b.ID)
				b.CheckClean()
				if t.Failed() {
					t.FailNow() // the next rounds would fail in the same way
				}
			}
			if killed < rounds/10 {
				t.Errorf("only %d of %d were killed in time", killed, rounds)
			}
		})
	}
}

// TestKilledCreateIsSeen: a container whose create was killed is stopped, and can be deleted
// without --force.
func TestKilledCreateIsSeen(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others don't know of it")
	b := harness.New(t)
	lines := b.Lines()
	must(t, passFile(b, lines))
	addHook(b, "createRuntime", "echo here > "+b.Dir+"/said; exec sleep 1000")
	p := b.Cmd("create", "--bundle", b.Bundle, b.ID).Start()
	if line := lines.Next(); line != "here" {
		t.Fatalf("the hook says %q", line)
	}
	b.Status("creating")
	pid := b.State().Pid
	hook := childOf(t, p.Pid, "sleep")
	p.Signal(unix.SIGKILL)
	p.Wait()
	b.WaitGone(hook) // it exits with the runtime
	b.WaitGone(pid)  // it notices that nobody will answer it
	b.Status("stopped")
	b.Fails("has stopped", "start", b.ID)
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestKilledStart: a start that is killed at any moment has started the container or not; if not,
// the next one can.
func TestKilledStart(t *testing.T) {
	harness.OrlopOnly(t, "runc's start is one write")
	b := harness.New(t, harness.Args("sleep", "1000"))
	create := func() { b.OK("create", "--bundle", b.Bundle, b.ID) }
	latest := latestKill(b, create, "start", b.ID)
	still := 0
	for range killedRounds() / 2 {
		create()
		pid := b.State().Pid
		killAtRandom(b.Cmd("start", b.ID), latest)
		s := b.State()
		if s.Status == specs.StateCreated {
			still++
			if r := b.Do("start", b.ID); r.Status != 0 {
				r.Fails(b, "container already started") // the last action of the killed one
			}
			s = b.State()
		}
		if s.Status != specs.StateRunning || s.Pid != pid {
			t.Fatalf("state: %+v", s)
		}
		b.OK("delete", "--force", b.ID)
	}
	if still == 0 {
		t.Skip("no start was killed in time")
	}
}

// TestKilledStartInHook: the same at a known moment.
func TestKilledStartInHook(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "the hook's process outlives runc")
	b := harness.New(t, harness.Sh("echo runs; exec sleep 1000"))
	log := logged(b)
	addHook(b, "startContainer", "[ -e "+log+" ] && exit 0; echo > "+log+"; exec sleep 1000")
	lines := b.Create()
	p := b.Cmd("start", b.ID).Start()
	hook := childOf(t, p.Pid, "sleep")
	p.Signal(unix.SIGKILL)
	p.Wait()
	b.Status("created")
	b.OK("start", b.ID)
	if line := lines.Next(); line != "runs" {
		t.Errorf("container says %q", line)
	}
	pid := b.State().Pid
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.WaitGone(hook) // it was in the container's PID namespace
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestKilledDelete: the next delete removes what a killed one leaves.
func TestKilledDelete(t *testing.T) {
	harness.OrlopOnly(t, "one runtime is enough")
	b := harness.New(t, harness.Args("sleep", "1000"))
	create := func() { b.OK("create", "--bundle", b.Bundle, b.ID) }
	latest := latestKill(b, create, "delete", "--force", b.ID)
	for range killedRounds() / 2 {
		create()
		killAtRandom(b.Cmd("delete", "--force", b.ID), latest)
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
		if t.Failed() {
			t.FailNow()
		}
	}
}
