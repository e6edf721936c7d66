package harness

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

// Command is a command line of the runtime, to be run with Run or Start.
type Command struct {
	box   *Box
	args  []string
	Stdin io.Reader // nil: /dev/null
	// Stdout and Stderr: nil is a file of the test's directory, read into the Result. (A container
	// would keep a pipe open, and reading it to its end would wait for the container.)
	Stdout, Stderr *os.File
	Files          []*os.File // descriptors 3, 4, ...
	Env            []string   // added to the test's own
	Dir            string
	Wrap           []string // a command that runs the runtime: strace, setpriv, ...
	Terminal       bool     // in a session of its own whose terminal is Stdin
	// Limit is the timeout after which it counts as hung; 0 is the default of all commands.
	Limit time.Duration
}

// Result is the result of a command. Stdout and Stderr are empty where the caller passed files.
type Result struct {
	Args           []string
	Status         int // 128 + signal when the runtime itself was killed
	Stdout, Stderr string
}

// Process is a running command.
type Process struct {
	Pid      int
	box      *Box
	cmd      *exec.Cmd
	out, err *os.File // our temporary files, else nil
	timer    *time.Timer
	limit    time.Duration
	result   *Result
}

// Cmd makes a command line: the runtime, --root, the box's global flags, args.
func (b *Box) Cmd(args ...string) *Command {
	return &Command{box: b, args: append(append([]string{"--root", b.Root}, b.Global...), args...), Wrap: b.Wrap, Env: b.Env}
}

// Run runs the command and waits for it.
func (c *Command) Run() Result {
	c.box.T.Helper()
	return c.Start().Wait()
}

// Start starts the command. The test fails when it can't be started.
func (c *Command) Start() *Process {
	b := c.box
	b.T.Helper()
	argv := append(append([]string{}, c.Wrap...), append([]string{shared.runtime}, c.args...)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.ExtraFiles, cmd.Dir = c.Stdin, c.Files, c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.WaitDelay = hang.Limit
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: c.Terminal, Setctty: c.Terminal}
	p := &Process{box: b, cmd: cmd}
	cmd.Stdout, p.out = b.output(c.Stdout, "stdout")
	cmd.Stderr, p.err = b.output(c.Stderr, "stderr")
	if err := shared.reaper.start(cmd); err != nil {
		b.T.Fatalf("start %q: %v", argv, err)
	}
	p.Pid = cmd.Process.Pid
	if p.limit = c.Limit; p.limit == 0 {
		p.limit = hang.Limit
	}
	p.timer = time.AfterFunc(p.limit, func() { cmd.Process.Kill() })
	b.running = append(b.running, p)
	return p
}

// output returns the file that a command writes to, and the same file again if it is a temporary
// one.
func (b *Box) output(given *os.File, name string) (io.Writer, *os.File) {
	b.T.Helper()
	if given != nil {
		return given, nil
	}
	b.outputs++
	f, err := os.Create(filepath.Join(b.Dir, name+strconv.Itoa(b.outputs)))
	if err != nil {
		b.T.Fatal(err)
	}
	return f, f
}

// Wait waits for the command's exit. The test fails when that takes too long.
func (p *Process) Wait() Result {
	p.box.T.Helper()
	if p.result != nil {
		return *p.result
	}
	err := shared.reaper.wait(p.cmd)
	hung := !p.timer.Stop()
	r := Result{Args: p.cmd.Args, Stdout: drain(p.out), Stderr: drain(p.err)}
	p.result = &r
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.Status = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.Status = 128 + int(status.Signal())
		}
	default:
		p.box.T.Errorf("%q: %v", r.Args, err)
		r.Status = -1
	}
	if hung {
		p.box.T.Errorf("%q: still running after %v\nstdout: %s\nstderr: %s", r.Args, p.limit, r.Stdout, r.Stderr)
	}
	return r
}

// Signal sends a signal to the runtime's process.
func (p *Process) Signal(sig unix.Signal) {
	p.box.T.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.box.T.Fatalf("signal %v: %v", sig, err)
	}
}

// drain returns a temporary file's content and closes it.
func drain(f *os.File) string {
	if f == nil {
		return ""
	}
	defer f.Close()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Do runs the runtime with these arguments.
func (b *Box) Do(args ...string) Result {
	b.T.Helper()
	return b.Cmd(args...).Run()
}

// OK runs the runtime, fails the test unless it exits with status 0, and returns its output.
func (b *Box) OK(args ...string) string {
	b.T.Helper()
	return b.Do(args...).OK(b)
}

// Fails runs the runtime and fails the test unless it exits with a status other than 0 and its
// standard error contains the text.
func (b *Box) Fails(text string, args ...string) Result {
	b.T.Helper()
	return b.Do(args...).Fails(b, text)
}

// OK fails the test unless the status is 0, and returns the output.
func (r Result) OK(b *Box) string {
	b.T.Helper()
	return r.Exits(b, 0)
}

// Exits fails the test unless the status is this one, and returns the output.
func (r Result) Exits(b *Box, status int) string {
	b.T.Helper()
	if r.Status != status {
		b.T.Fatalf("%q: status %d, want %d\nstdout: %s\nstderr: %s", r.Args, r.Status, status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Fails fails the test unless the status is other than 0 and standard error contains the text.
func (r Result) Fails(b *Box, text string) Result {
	b.T.Helper()
	if r.Status == 0 || !strings.Contains(r.Stderr, text) {
		b.T.Fatalf("%q: status %d, want a failure with %q\nstdout: %s\nstderr: %s", r.Args, r.Status, text, r.Stdout, r.Stderr)
	}
	return r
}

// Aside runs a command other than the runtime and waits for it.
func (b *Box) Aside(cmd *exec.Cmd) {
	b.T.Helper()
	if err := shared.reaper.start(cmd); err != nil {
		b.T.Fatal(err)
	}
	if err := shared.reaper.wait(cmd); err != nil {
		b.T.Fatalf("%q: %v", cmd.Args, err)
	}
}

// Output runs a command other than the runtime, waits for it, and returns its output. It replaces
// exec.Cmd's own Output and CombinedOutput, whose waiting conflicts with the reaper.
func Output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := shared.reaper.start(cmd); err != nil {
		return "", err
	}
	err := shared.reaper.wait(cmd)
	return out.String(), err
}

// StartOther and WaitOther are for commands that a library makes and would otherwise start and wait
// for itself: the reaper must know about them.
func StartOther(cmd *exec.Cmd) error { return shared.reaper.start(cmd) }

// WaitOther waits for a command that StartOther started.
func WaitOther(cmd *exec.Cmd) error { return shared.reaper.wait(cmd) }
