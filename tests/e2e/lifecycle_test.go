package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

func TestLifecycle(t *testing.T) {
	b := harness.New(t, harness.Sh("echo runs; trap 'exit 5' TERM; while :; do sleep 1000 & wait; done"))
	lines := b.Create()

	s := b.State()
	switch {
	case s.Status != "created":
		t.Errorf("status %q after create", s.Status)
	case s.ID != b.ID, s.Bundle != b.Bundle, s.Rootfs != b.Rootfs:
		t.Errorf("state after create: %+v", s)
	case s.Pid <= 0:
		t.Errorf("pid %d after create", s.Pid)
	case s.Version != specs.Version: // the state's, not the configuration's
		t.Errorf("ociVersion %q, want %q", s.Version, specs.Version)
	}
	if created, err := time.Parse(time.RFC3339Nano, s.Created); err != nil || time.Since(created).Abs() > hang.Limit {
		t.Errorf("created %q: %v", s.Created, err)
	}
	pid := s.Pid

	b.OK("start", b.ID)
	if line := lines.Next(); line != "runs" {
		t.Errorf("container says %q", line)
	}
	if s := b.State(); s.Status != "running" || s.Pid != pid {
		t.Errorf("state after start: %+v, pid was %d", s, pid)
	}

	b.OK("kill", b.ID, "TERM")
	if status := b.WaitStatus(pid); status != 5 {
		t.Errorf("status %d, want 5", status)
	}
	if s := b.State(); s.Status != "stopped" || s.Pid != 0 {
		t.Errorf("state after kill: %+v", s)
	}
	lines.End()

	b.OK("delete", b.ID)
	b.Fails("does not exist", "state", b.ID)
	b.CheckClean()
}

// TestLifecycleErrors: what is refused in which status.
func TestLifecycleErrors(t *testing.T) {
	running := func(b *harness.Box) { b.Up() }
	created := func(b *harness.Box) { b.Create() }
	stopped := func(b *harness.Box) {
		pid := b.Up()
		b.OK("kill", b.ID, "KILL")
		b.WaitGone(pid)
	}
	absent := func(*harness.Box) {}
	const none = "does not exist"
	cases := []struct {
		name    string
		setUp   func(*harness.Box)
		args    []string // ID is replaced by the container's ID
		refused bool
		text    string // which engines match
	}{
		{"state of none", absent, []string{"state", "ID"}, true, none},
		{"start of none", absent, []string{"start", "ID"}, true, none},
		{"kill of none", absent, []string{"kill", "ID", "KILL"}, true, none},
		{"exec into none", absent, []string{"exec", "ID", "true"}, true, none},
		{"delete of none", absent, []string{"delete", "ID"}, true, none},
		{"delete --force of none", absent, []string{"delete", "--force", "ID"}, false, ""},

		// "If the container is not stopped ... MUST generate an error" (runtime.md, Delete). runc
		// deletes it.
		{"delete of created", created, []string{"delete", "ID"}, true, "container still running (created)"},
		{"delete --force of created", created, []string{"delete", "--force", "ID"}, false, ""},
		{"kill of created", created, []string{"kill", "ID", "KILL"}, false, ""},

		{"start of running", running, []string{"start", "ID"}, true, ""},
		{"delete of running", running, []string{"delete", "ID"}, true, "container still running"},
		{"delete --force of running", running, []string{"delete", "--force", "ID"}, false, ""},

		{"start of stopped", stopped, []string{"start", "ID"}, true, ""},
		{"kill of stopped", stopped, []string{"kill", "ID", "TERM"}, true, "container not running"},
		{"kill --all of stopped", stopped, []string{"kill", "--all", "ID", "KILL"}, false, ""},
		{"exec into stopped", stopped, []string{"exec", "ID", "true"}, true, "container not running"},
		{"delete of stopped", stopped, []string{"delete", "ID"}, false, ""},
		{"delete --force of stopped", stopped, []string{"delete", "--force", "ID"}, false, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "delete of created" {
				harness.OrlopOnly(t, "runc deletes a container that was never started")
			}
			b := harness.New(t)
			tc.setUp(b)
			args := make([]string, len(tc.args))
			for i, arg := range tc.args {
				args[i] = strings.ReplaceAll(arg, "ID", b.ID)
			}
			if !tc.refused {
				b.OK(args...)
				return
			}
			if harness.Name() != "orlop" && tc.text != none {
				tc.text = "" // other runtimes have other texts here
			}
			b.Fails(tc.text, args...)
		})
	}
}

func TestCreateTwice(t *testing.T) {
	b := harness.New(t)
	b.Create()
	pid := b.State().Pid
	b.Fails("container with given", "create", "--bundle", b.Bundle, b.ID)
	if s := b.State(); s.Status != "created" || s.Pid != pid {
		t.Errorf("the first one is hurt: %+v", s)
	}
}

// TestCreateRace: of two simultaneous creates of one ID exactly one wins.
func TestCreateRace(t *testing.T) {
	harness.OrlopOnly(t, "runc lets more than one win at times, and leaves the others' processes and cgroups")
	const racers = 4
	for range 5 {
		b := harness.New(t)
		var processes [racers]*harness.Process
		for i := range processes {
			processes[i] = b.Cmd("create", "--bundle", b.Bundle, b.ID).Start()
		}
		won := 0
		for _, p := range processes {
			if p.Wait().Status == 0 {
				won++
			}
		}
		if won != 1 {
			t.Fatalf("%d of %d creates won", won, racers)
		}
		b.Status("created")
		b.OK("delete", "--force", b.ID)
	}
}

// TestInvalidIDs: an ID becomes a directory's name.
func TestInvalidIDs(t *testing.T) {
	b := harness.New(t)
	for _, id := range []string{"", "..", ".", "../x", "a/b", "a b", "a\nb", "é", "/abs", "a;b"} {
		r := b.Do("create", "--bundle", b.Bundle, id)
		text := "invalid container ID format"
		if id == "" || harness.Name() != "orlop" {
			text = ""
		}
		r.Fails(b, text)
		if harness.Name() == "orlop" && strings.Count(r.Stderr, "container \"") > 1 {
			t.Errorf("the error names the container twice: %s", r.Stderr)
		}
	}
	b.CheckClean()
}

// TestNoProcess: a configuration without process can be created, and not started.
func TestNoProcess(t *testing.T) {
	harness.OrlopOnly(t, "runc wants a process at create")
	b := harness.New(t, func(s *specs.Spec) { s.Process = nil })
	b.Create()
	b.Status("created")
	b.Fails("there is no program to execute", "start", b.ID)
	b.Status("stopped")
	b.Fails("has stopped", "start", b.ID)
	b.OK("delete", b.ID)
	b.CheckClean()
	b.Fails("config.json: process: is required", "run", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
}

// TestConfigIsRead: later edits of config.json have no effect on a created container.
func TestConfigIsRead(t *testing.T) {
	b := harness.New(t, harness.Args("echo", "as created"))
	lines := b.Create()
	b.Spec.Process.Args = []string{"echo", "as edited"}
	b.Spec.Hostname = ""
	b.Write()
	b.OK("start", b.ID)
	if line := lines.Next(); line != "as created" {
		t.Errorf("container says %q", line)
	}
	if err := os.Remove(filepath.Join(b.Bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	lines.End()
	b.OK("delete", "--force", b.ID)
}

// TestStartTwice: the second start is refused and does not affect the first one.
func TestStartTwice(t *testing.T) {
	b := harness.New(t)
	b.Up()
	b.Fails("", "start", b.ID)
	b.Status("running")
}

// TestKillSignals: signals by name, with and without SIG, in any case, and by number.
func TestKillSignals(t *testing.T) {
	for _, sig := range []string{"TERM", "SIGTERM", "term", "15"} {
		t.Run(sig, func(t *testing.T) {
			b := harness.New(t)
			pid := b.Up()
			b.OK("kill", b.ID, sig)
			if status := b.WaitStatus(pid); status != 0 {
				t.Errorf("status %d: the trap for TERM did not run", status)
			}
		})
	}
	t.Run("without one", func(t *testing.T) { // SIGTERM
		b := harness.New(t)
		pid := b.Up()
		b.OK("kill", b.ID)
		b.WaitGone(pid)
	})
	t.Run("nonsense", func(t *testing.T) {
		b := harness.New(t)
		b.Up()
		for _, sig := range []string{"NOSUCH", "SIG", "-1", "1000", "1.5"} {
			b.Fails("", "kill", "--", b.ID, sig)
		}
		b.Status("running")
	})
}

// TestKillAll reaches every process, without a PID namespace that would end them with the first.
func TestKillAll(t *testing.T) {
	b := harness.New(t, harness.WithoutNamespace("pid"))
	pid := b.Up()
	lines := b.Lines()
	c := b.Cmd("exec", b.ID, "sh", "-c", "echo up; exec sleep 1000")
	c.Stdout = lines.Writer
	p := c.Start()
	lines.Writer.Close()
	lines.Next()
	b.OK("kill", "--all", b.ID, "KILL")
	b.WaitGone(pid)
	p.Wait().Exits(b, 137)
	b.OK("delete", b.ID)
}

// TestDeleteKillsAll: delete kills the processes that the first one leaves in the cgroup.
func TestDeleteKillsAll(t *testing.T) {
	b := harness.New(t, harness.WithoutNamespace("pid"),
		harness.Sh("sleep 1000 & echo $!; exit 0"))
	lines := b.Create()
	first := b.State().Pid
	b.OK("start", b.ID)
	lines.Next()
	b.WaitGone(first)
	b.OK("delete", "--force", b.ID)
	lines.End()
	b.CheckClean()
}

// TestConcurrent: many containers at once in one --root.
func TestConcurrent(t *testing.T) {
	const count = 8
	boxes := make([]*harness.Box, count)
	for i := range boxes {
		boxes[i] = harness.New(t, harness.Sh("echo "+string(rune('a'+i))))
		boxes[i].Root = boxes[0].Root
	}
	var group sync.WaitGroup
	results := make([]harness.Result, count)
	for i, b := range boxes {
		p := b.Cmd("run", "--bundle", b.Bundle, b.ID).Start()
		group.Go(func() { results[i] = p.Wait() })
	}
	group.Wait()
	for i, r := range results {
		if want := string(rune('a'+i)) + "\n"; r.Status != 0 || r.Stdout != want {
			t.Errorf("container %d: status %d, %q, %s", i, r.Status, r.Stdout, r.Stderr)
		}
	}
}
