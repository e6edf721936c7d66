package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// atOnce is the timeout for commands that must not wait for a hook or a process that never ends. It
// is far above what they need on any machine, and below the sum of the timeouts that they would
// otherwise reach.
const atOnce = time.Minute

// quick runs a command that must not block.
func quick(b *harness.Box, args ...string) harness.Result {
	b.T.Helper()
	c := b.Cmd(args...)
	c.Limit = atOnce
	return c.Run()
}

// hangingHooks are the kinds of hooks that can hang, and the commands that run them.
func hangingHooks() []struct{ kind, command string } {
	return []struct{ kind, command string }{
		{"prestart", "create"}, {"createRuntime", "create"}, {"createContainer", "create"},
		{"createRuntime", "run"}, {"createRuntime", "run --detach"}, {"startContainer", "run"}, {"poststart", "run"},
		{"startContainer", "start"}, {"poststart", "start"},
	}
}

// startHanging starts the command whose hook hangs, and returns it and the hook's process as soon
// as that exists. The hook has a child of its own.
func startHanging(t *testing.T, b *harness.Box, kind, command string) (p *harness.Process, hook int) {
	t.Helper()
	addHook(b, kind, "sleep 3000 & exec tail -f /dev/null")
	args := append(strings.Fields(command), "--bundle", b.Bundle, b.ID)
	if command == "start" {
		b.OK("create", "--bundle", b.Bundle, b.ID)
		args = []string{"start", b.ID}
	}
	p = b.Cmd(args...).Start()
	return p, childOf(t, p.Pid, "tail")
}

// TestDeleteInHook: delete --force does not wait for a hook, the command that runs the hook fails
// and kills it, and the ID can be reused at once.
func TestDeleteInHook(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "the hooks of others live on")
	for _, tc := range hangingHooks() {
		t.Run(tc.command+" "+tc.kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			p, hook := startHanging(t, b, tc.kind, tc.command)
			quick(b, "delete", "--force", b.ID).OK(b)
			b.Spec.Hooks = nil
			b.Write()
			b.OK("create", "--bundle", b.Bundle, b.ID)
			p.Wait().Fails(b, "deleted meanwhile")
			b.WaitGone(hook)
			// The failed one has removed nothing of the new one.
			b.Status("created")
			b.OK("start", b.ID)
			b.OK("exec", b.ID, "true")
			b.OK("delete", "--force", b.ID)
			b.CheckClean()
		})
	}
}

// TestOthersInHook: while a hook runs, other commands report the container's status, or do their
// work.
func TestOthersInHook(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others differ in what they say")
	for _, tc := range []struct {
		kind, command string
		status        string
		want          map[string]string // command: its error
	}{
		{"createRuntime", "create", "creating", map[string]string{
			"start": "still being created", "pause": "not running", "resume": "not paused", "update --pids-limit 10": "still being created",
			"exec": "still being created", "kill": "still being created", "delete": "still running (creating)", "ps": "", "events --stats": "not running",
		}},
		{"startContainer", "start", "created", map[string]string{
			"start": "another start is at work", "update --pids-limit 10": "", "exec": "", "delete": "still running (created)", "ps": "",
		}},
		{"poststart", "start", "running", map[string]string{
			"start": "container already started", "pause": "", "resume": "", "update --pids-limit 10": "", "exec": "", "delete": "still running", "ps": "",
		}},
		{"poststart", "run --detach", "running", map[string]string{
			"start": "container already started", "update --pids-limit 10": "", "exec": "", "kill": "",
		}},
	} {
		t.Run(tc.command+" "+tc.kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			p, _ := startHanging(t, b, tc.kind, tc.command)
			if got := string(b.State().Status); got != tc.status {
				t.Errorf("status is %q, want %q", got, tc.status)
			}
			for _, command := range []string{"start", "pause", "resume", "update --pids-limit 10", "exec", "ps", "events --stats", "delete", "kill"} {
				want, tried := tc.want[command]
				if !tried {
					continue
				}
				args := append(strings.Fields(command), b.ID)
				if command == "exec" {
					args = append(args, "true")
				}
				if r := quick(b, args...); want == "" {
					r.OK(b)
				} else {
					r.Fails(b, want)
				}
			}
			quick(b, "delete", "--force", b.ID).OK(b)
			p.Wait().Fails(b, "deleted meanwhile")
			b.CheckClean()
		})
	}
}

// TestKillInHook: SIGKILL ends a container that is being created, and the creation with it.
func TestKillInHook(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others have no process yet, or leave the hook")
	b := harness.New(t, harness.Args("sleep", "1000"))
	p, hook := startHanging(t, b, "createRuntime", "create")
	quick(b, "kill", b.ID, "KILL").OK(b)
	p.Wait().Fails(b, "hooks.createRuntime[0] /bin/busybox: stopped, for the container's process has ended meanwhile")
	b.WaitGone(hook)
	b.CheckClean()
}

// TestShortProgramInPoststart: the exit of the program does not end a poststart hook.
func TestShortProgramInPoststart(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "runc 1.1 runs poststart hooks in create")
	b := harness.New(t, harness.Args("true"))
	addHook(b, "poststart", "while read -r state < "+filepath.Join(b.Dir, "status")+" && [ -z \"$state\" ]; do :; done; echo done > "+b.Dir+"/said")
	lines := b.Lines()
	if err := passFile(b, lines); err != nil {
		t.Fatal(err)
	}
	status := filepath.Join(b.Dir, "status")
	if err := unix.Mkfifo(status, 0o600); err != nil {
		t.Fatal(err)
	}
	b.OK("create", "--bundle", b.Bundle, b.ID)
	pid := b.State().Pid
	p := b.Cmd("start", b.ID).Start()
	b.WaitStatus(pid) // the program has exited, and the hook waits for its line
	if err := os.WriteFile(status, []byte("go on\n"), 0); err != nil {
		t.Fatal(err)
	}
	p.Wait().OK(b)
	if line := lines.Next(); line != "done" {
		t.Errorf("the hook says %q", line)
	}
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestDeleteWhileCreating: a delete --force at any moment of a creation leaves nothing, or a
// container that the next one removes; and the failed command does not harm a later container of
// the same ID.
func TestDeleteWhileCreating(t *testing.T) {
	harness.OrlopOnly(t, "others leave cgroups and processes")
	b := harness.New(t, harness.Args("sleep", "1000"))
	create := []string{"create", "--bundle", b.Bundle, b.ID}
	latest := latestKill(b, func() {}, create...)
	deleted := 0
	for range killedRounds() / 2 {
		p := b.Cmd(create...).Start()
		// The moment is the test's parameter: there is no event to wait for.
		time.Sleep(rand.N(latest))
		quick(b, "delete", "--force", b.ID).OK(b)
		second := quick(b, create...)
		r := p.Wait()
		switch {
		case r.Status != 0 && second.Status != 0:
			t.Fatalf("both failed:\n%s%s", r.Stderr, second.Stderr)
		case r.Status != 0:
			if strings.Contains(r.Stderr, "deleted meanwhile") {
				deleted++
			} else {
				r.Fails(b, "already exists")
			}
		case second.Status != 0:
			second.Fails(b, "already exists") // the delete came first
		}
		b.Status("created")
		b.OK("start", b.ID)
		b.OK("exec", b.ID, "true")
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
		if t.Failed() {
			t.FailNow()
		}
	}
	if deleted == 0 {
		t.Skip("no delete was in time")
	}
}

// TestInterrupted: a signal that ends a program also ends the hook that it waits for, and leaves
// nothing; the program ends by that signal.
func TestInterrupted(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others leave the hook, or wait for it")
	for i, tc := range hangingHooks() {
		sig := [...]unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}[i%4]
		t.Run(tc.command+" "+tc.kind+" "+unix.SignalName(sig), func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			p, hook := startHanging(t, b, tc.kind, tc.command)
			other := childOf(t, hook, "sleep")
			p.Signal(sig)
			r := p.Wait()
			if r.Status != 128+int(sig) || !strings.Contains(r.Stderr, "hooks."+tc.kind+"[0] /bin/busybox: interrupted") {
				t.Errorf("status %d: %s", r.Status, r.Stderr)
			}
			b.WaitGone(hook)
			b.WaitGone(other)
			b.CheckClean()
		})
	}
}

// TestInterruptedTwice: the second signal ends a poststop hook that hangs after the first one.
func TestInterruptedTwice(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others leave the hook, or wait for it")
	b := harness.New(t, harness.Args("sleep", "1000"))
	addHook(b, "poststop", "exec sleep 1000")
	p, hook := startHanging(t, b, "createRuntime", "create")
	p.Signal(unix.SIGTERM)
	b.WaitGone(hook)
	poststop := childOf(t, p.Pid, "sleep")
	p.Signal(unix.SIGTERM)
	p.Wait().Exits(b, 128+int(unix.SIGTERM))
	b.WaitGone(poststop)
	b.CheckClean()
}

// TestInterruptedExec: the same for an exec whose process does not reach its program.
func TestInterruptedExec(t *testing.T) {
	harness.OrlopOnly(t, "others differ")
	b := harness.New(t, harness.Writable)
	stickyMount(t, b, b.Up(), false)
	p := b.Cmd("exec", "--cwd", "/mnt/x", b.ID, "true").Start()
	waitsIn(t, p.Pid, "fuse")
	p.Signal(unix.SIGTERM)
	p.Wait().Exits(b, 128+int(unix.SIGTERM))
	b.Status("running")
}

// TestIgnoredSignal: a signal that the caller ignores interrupts nothing.
func TestIgnoredSignal(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "one runtime is enough")
	b := harness.New(t, harness.Args("sleep", "1000"))
	b.Wrap = []string{"nohup"}
	p, hook := startHanging(t, b, "createRuntime", "create")
	p.Signal(unix.SIGHUP)
	p.Signal(unix.SIGTERM)
	b.WaitGone(hook)
	p.Wait().Exits(b, 128+int(unix.SIGTERM))
	b.CheckClean()
}

// TestKilledInHook: a hook does not outlive the runtime, however that ends.
func TestKilledInHook(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "the hooks of others do")
	for _, tc := range hangingHooks() {
		t.Run(tc.command+" "+tc.kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			p, hook := startHanging(t, b, tc.kind, tc.command)
			other := childOf(t, hook, "sleep")
			p.Signal(unix.SIGKILL)
			p.Wait()
			b.WaitGone(hook)
			// A child of its own does, unless it is in the container's PID namespace.
			if unix.Kill(other, unix.SIGKILL) == nil {
				b.WaitGone(other)
			}
			b.OK("delete", "--force", b.ID)
			b.CheckClean()
		})
	}
}

// TestTerminalInputEnds: the end of an input that is not a terminal also ends the input of the
// container's terminal.
func TestTerminalInputEnds(t *testing.T) {
	harness.OrlopOnly(t, "runc wants a terminal")
	for _, command := range []string{"run", "exec"} {
		for name, tc := range map[string]struct {
			args  string
			input string // "": /dev/null
			want  string
		}{
			"nothing":       {"cat; echo ended", "", "ended"},
			"a line":        {"cat; echo ended", "line\n", "ended"},
			"half a line":   {"cat; echo ended", "half", "ended"},
			"reader to be":  {"sleep 2; cat; echo ended", "", "ended"},
			"not read":      {"sleep 1; echo ended", "", "ended"},
			"status counts": {"cat; exit 3", "", ""},
		} {
			t.Run(command+" "+name, func(t *testing.T) {
				b := harness.New(t, harness.Sh(tc.args), func(s *specs.Spec) { s.Process.Terminal = true })
				c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
				if command == "exec" {
					b.Spec.Process.Terminal = false
					b.Up()
					c = b.Cmd("exec", "--tty", b.ID, "sh", "-c", tc.args)
				}
				if tc.input != "" {
					c.Stdin = strings.NewReader(tc.input)
				}
				c.Limit = atOnce
				status := 0
				if name == "status counts" {
					status = 3
				}
				if out := c.Run().Exits(b, status); !strings.Contains(out, tc.want) {
					t.Errorf("output %q, want %q", out, tc.want)
				}
			})
		}
	}
}
