package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

func TestRunStatus(t *testing.T) {
	cases := []struct {
		name   string
		args   []string
		status int
	}{
		{"true", []string{"/bin/true"}, 0},
		{"false", []string{"/bin/false"}, 1},
		{"found on PATH", []string{"true"}, 0},
		{"exit 0", []string{"sh", "-c", "exit 0"}, 0},
		{"exit 7", []string{"sh", "-c", "exit 7"}, 7},
		{"exit 255", []string{"sh", "-c", "exit 255"}, 255},
		{"killed", []string{"sh", "-c", "sh -c 'kill -KILL $$'; exit $?"}, 137},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Args(tc.args...))
			b.Do("run", "--bundle", b.Bundle, b.ID).Exits(b, tc.status)
			b.CheckClean()
		})
	}
}

// TestRunSignalled: the container's first process dies of a signal; the status is 128 + signal.
func TestRunSignalled(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			// sleep has default handlers for all of them; the first process of a PID namespace
			// ignores signals without a handler, unless they come from outside and are SIGKILL.
			b := harness.New(t, harness.WithoutNamespace("pid"), harness.Sh("echo up; exec sleep 1000"))
			lines := b.Lines()
			c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
			c.Stdout = lines.Writer
			p := c.Start()
			lines.Writer.Close()
			lines.Next()
			b.OK("kill", b.ID, fmt.Sprint(int(sig)))
			p.Wait().Exits(b, 128+int(sig))
			b.CheckClean()
		})
	}
}

func TestRunForwardsSignals(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTSTP} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			name := strings.TrimPrefix(unix.SignalName(sig), "SIG")
			b := harness.New(t, harness.Sh("trap 'exit 33' "+name+"; echo up; while :; do sleep 1000 & wait; done"))
			lines := b.Lines()
			c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
			c.Stdout = lines.Writer
			p := c.Start()
			lines.Writer.Close()
			lines.Next()
			p.Signal(sig)
			p.Wait().Exits(b, 33)
		})
	}
}

// TestIgnoredSignals: signals that the runtime's caller ignores, such as nohup and shells, do not
// affect the container.
func TestIgnoredSignals(t *testing.T) {
	grep := []string{"grep", "SigIgn", "/proc/self/status"}
	check := func(t *testing.T, got string) {
		t.Helper()
		if got != "SigIgn:\t0000000000000000\n" {
			t.Errorf("got %q", got)
		}
	}
	for range 10 { // the order of two threads once mattered
		b := harness.New(t, harness.Args(grep...))
		b.Wrap = []string{"sh", "-c", `trap '' HUP INT QUIT TERM TSTP TTIN TTOU PIPE USR1; exec "$@"`, "sh"}
		check(t, b.Do("run", "--bundle", b.Bundle, b.ID).OK(b))
		lines := b.Create()
		b.OK("start", b.ID)
		check(t, lines.Next()+"\n")
		b.OK("delete", "--force", b.ID)
		b.Up()
		check(t, b.OK(append([]string{"exec", b.ID}, grep...)...))
	}
}

func TestRunStdio(t *testing.T) {
	t.Run("stdin", func(t *testing.T) {
		b := harness.New(t, harness.Args("cat"))
		// More than a pipe's buffer.
		text := strings.Repeat("a line that goes in and comes out\n", 5000)
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Stdin = strings.NewReader(text)
		if got := c.Run().OK(b); got != text {
			t.Errorf("%d bytes came out, want %d", len(got), len(text))
		}
	})
	t.Run("stdout and stderr", func(t *testing.T) {
		b := harness.New(t, harness.Sh("echo to stdout; echo to stderr >&2"))
		r := b.Do("run", "--bundle", b.Bundle, b.ID)
		if out := r.OK(b); out != "to stdout\n" || r.Stderr != "to stderr\n" {
			t.Errorf("stdout %q, stderr %q", out, r.Stderr)
		}
	})
	t.Run("stdin closed", func(t *testing.T) {
		b := harness.New(t, harness.Sh("cat; echo end"))
		if out := b.OK("run", "--bundle", b.Bundle, b.ID); out != "end\n" {
			t.Errorf("got %q", out)
		}
	})
}

func TestRunFails(t *testing.T) {
	cases := []struct {
		name string
		args []string
		text string
	}{
		// Engines map these texts to their exit codes 127 and 126.
		{"no such file", []string{"/no/such/file"}, "no such file or directory"},
		{"not on PATH", []string{"no-such-program"}, "executable file not found in"},
		{"not executable", []string{"/etc/passwd"}, "permission denied"},
		{"a directory", []string{"/bin"}, "permission denied"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Args(tc.args...))
			b.Fails(tc.text, "run", "--bundle", b.Bundle, b.ID)
			b.CheckClean()
		})
	}
}

func TestRunDetached(t *testing.T) {
	b := harness.New(t, harness.Sh("echo up; exec sleep 1000"))
	lines := b.Lines()
	c := b.Cmd("run", "--detach", "--bundle", b.Bundle, b.ID)
	c.Stdout = lines.Writer
	c.Run().OK(b)
	lines.Writer.Close()
	lines.Next()
	b.Status("running")
	pid := b.State().Pid
	b.OK("kill", b.ID, "KILL")
	if status := b.WaitStatus(pid); status != 137 {
		t.Errorf("status %d, want 137", status)
	}
	lines.End()
	b.Status("stopped")
	b.OK("delete", b.ID)
	b.CheckClean()
}

func TestRunKeep(t *testing.T) {
	if harness.Name() == "crun" {
		t.Skip("crun 1.8 has no run --keep")
	}
	b := harness.New(t)
	b.OK("run", "--keep", "--bundle", b.Bundle, b.ID)
	b.Status("stopped")
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestRunInBundle: without --bundle the current directory is the bundle.
func TestRunInBundle(t *testing.T) {
	b := harness.New(t, harness.Args("echo", "here"))
	c := b.Cmd("run", b.ID)
	c.Dir = b.Bundle
	if out := c.Run().OK(b); out != "here\n" {
		t.Errorf("got %q", out)
	}
}

// TestRunReapsOrphans: processes that the container's first one leaves to the runtime don't stay as
// zombies, and run does not wait for their output.
func TestRunReapsOrphans(t *testing.T) {
	b := harness.New(t, harness.WithoutNamespace("pid"), harness.Sh("(sleep 0.05) & exit 4"))
	b.Do("run", "--bundle", b.Bundle, b.ID).Exits(b, 4)
}

// TestRunRepeatedly runs many containers one after the other: nothing accumulates.
func TestRunRepeatedly(t *testing.T) {
	b := harness.New(t)
	for range 20 {
		b.OK("run", "--bundle", b.Bundle, b.ID)
	}
	b.CheckClean()
}
