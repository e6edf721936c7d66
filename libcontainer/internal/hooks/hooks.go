// Package hooks runs the hooks of a container in order, each with the container's state on its
// standard input and within its timeout.
//
// A Starter starts the process of a hook, since some hooks run in the runtime's namespaces (Host)
// and some in the container's. The package does the rest.
package hooks

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// The kinds of hooks, named as in config.json.
const (
	Prestart        = "prestart"
	CreateRuntime   = "createRuntime"
	CreateContainer = "createContainer"
	StartContainer  = "startContainer"
	Poststart       = "poststart"
	Poststop        = "poststop"
)

// Starter starts the process of a hook and returns when it has executed the hook's program, or an
// error if it could not. The process has the three files as its standard streams, which stay the
// caller's. It has exactly the hook's arguments (its path if there are none) and environment (see
// Complete if there is none), leads a process group of its own, and is killed when the thread that
// called the Starter ends.
type Starter func(h specs.Hook, stdin, stdout, stderr *os.File) (Process, error)

// Process is a started hook, a child of this process. Only this package waits for it.
type Process struct {
	Pid   int
	Pidfd *os.File // Run closes it
}

// Error is the failure of one hook.
type Error struct {
	Kind  string // "prestart" and so on
	Index int    // in the list of that kind
	Path  string // of the hook
	Err   error  // *ExitError, *TimeoutError, or why it did not start
}

// Error implements error. It names the hook's field in config.json and its path.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %v", e.field(), e.Path, e.Err)
}

func (e *Error) field() string { return jsonpath.Index("hooks."+e.Kind, e.Index) }

// Unwrap returns the cause as an error of the hook's field.
func (e *Error) Unwrap() error { return &specconv.FieldError{Path: e.field(), Err: e.Err} }

// ExitError says that a hook ended with a status other than 0.
type ExitError struct {
	Status unix.WaitStatus
	// Output is the end of the hook's standard error, or of its standard output if that is empty.
	Output string
}

// Error implements error. It returns the status and the output on one line.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("exit status %d", e.Status.ExitStatus())
	if e.Status.Signaled() {
		text = "killed by " + signalName(e.Status.Signal())
	}
	return text + outputSuffix(e.Output)
}

// TimeoutError says that a hook did not end in time and was killed with its process group.
type TimeoutError struct {
	Timeout time.Duration
	Output  string // as in ExitError
}

// Error implements error. It returns the timeout and the output on one line.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("timed out after %d s%s", e.Timeout/time.Second, outputSuffix(e.Output))
}

// Is makes errors.Is report that a TimeoutError is os.ErrDeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// outputSuffix joins a hook's output to one line: engines read an error as one line.
func outputSuffix(output string) string {
	lines := strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines, "; ")
}

// A Stop ends a hook early. When File becomes readable, the hook is killed and fails with Err.
type Stop struct {
	File *os.File
	Err  error
}

// Run runs a list of hooks in order and stops at the first that fails, with an *Error. Each hook
// reads state, the container's state as JSON, from its standard input.
func Run(kind string, list []specs.Hook, state []byte, start Starter, stops ...Stop) error {
	for i := range list {
		if err := run(list[i], state, start, stops); err != nil {
			return &Error{Kind: kind, Index: i, Path: list[i].Path, Err: err}
		}
	}
	return nil
}

// RunAll is Run for hooks whose failure stops nothing (poststop). It runs all of them and returns
// an *Error for each that failed.
func RunAll(kind string, list []specs.Hook, state []byte, start Starter, stops ...Stop) []error {
	var warnings []error
	for i := range list {
		if err := run(list[i], state, start, stops); err != nil {
			warnings = append(warnings, &Error{Kind: kind, Index: i, Path: list[i].Path, Err: err})
		}
	}
	return warnings
}

// run runs one hook to its end.
func run(h specs.Hook, state []byte, start Starter, stops []Stop) error {
	// A hook ends with the thread that started it (PR_SET_PDEATHSIG of prctl(2)), and hence with
	// this program, however that ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stdin, err := input(state)
	if err != nil {
		return err
	}
	defer stdin.Close()
	stdout, outW, err := outputPipe()
	if err != nil {
		return err
	}
	defer stdout.close()
	defer outW.Close()
	stderr, errW, err := outputPipe()
	if err != nil {
		return err
	}
	defer stderr.close()
	defer errW.Close()

	var limit time.Duration
	if h.Timeout != nil && *h.Timeout > 0 {
		limit = time.Duration(*h.Timeout) * time.Second
	}
	p, err := start(h, stdin, outW, errW)
	if err != nil {
		return err
	}
	defer p.Pidfd.Close()
	// From here on only the hook holds its ends.
	_ = stdin.Close()
	_ = outW.Close()
	_ = errW.Close()
	return p.wait(limit, stops, stdout, stderr)
}

// wait waits for the end of the process and reaps it. It does not wait for processes that a hook
// left in the background.
func (p Process) wait(limit time.Duration, stops []Stop, stdout, stderr *tail) error {
	timedOut, err := p.watch(limit, stops, stdout, stderr)
	if timedOut || err != nil {
		p.kill()
		if late := p.awaitEnd(); late != nil {
			if timedOut {
				err = &TimeoutError{Timeout: limit}
			}
			return fmt.Errorf("%w; %w", err, late)
		}
	}
	status, werr := sys.Reap(p.Pid)
	if err = cmp.Or(err, werr); err != nil {
		return err
	}
	stdout.drain()
	stderr.drain()
	output := stderr.String()
	if strings.TrimSpace(output) == "" {
		output = stdout.String()
	}
	switch {
	case timedOut:
		return &TimeoutError{Timeout: limit, Output: output}
	case !status.Exited() || status.ExitStatus() != 0:
		return &ExitError{Status: status, Output: output}
	}
	return nil
}

// watch reads the process's output until it has ended (its pidfd is then readable), its timeout has
// passed, or a Stop fires. A limit of 0 means none.
func (p Process) watch(limit time.Duration, stops []Stop, outputs ...*tail) (timedOut bool, err error) {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	files := []*os.File{p.Pidfd}
	for _, s := range stops {
		files = append(files, s.File)
	}
	for {
		fds := sys.PollIn(files...)
		for _, o := range outputs {
			fds = append(fds, unix.PollFd{Fd: int32(o.fd), Events: unix.POLLIN})
		}
		if limit > 0 && time.Until(deadline) <= 0 {
			return true, nil
		}
		if _, err := sys.Poll(fds, deadline); err != nil {
			return false, fmt.Errorf("poll process %d: %w", p.Pid, err)
		}
		// Stops come first, since they may also end the hook: a hook in the container's PID
		// namespace ends with it.
		for i, s := range stops {
			if fds[1+i].Revents != 0 {
				return false, s.Err
			}
		}
		if fds[0].Revents != 0 {
			return false, nil
		}
		for i, o := range outputs {
			if fds[1+len(stops)+i].Revents != 0 {
				o.drain()
			}
		}
	}
}

// endLimit is how long a killed hook may take to end.
const endLimit = 10 * time.Second

// awaitEnd waits for the end of the killed process. A hook that waits in the kernel or in a frozen
// cgroup may not end.
func (p Process) awaitEnd() error {
	ended, err := sys.AwaitExit(p.Pidfd, time.Now().Add(endLimit))
	if err != nil {
		return fmt.Errorf("poll process %d: %w", p.Pid, err)
	}
	if !ended {
		return timeout.Errorf("killed, and has not ended within %v: process %d", endLimit, p.Pid)
	}
	return nil
}

// kill kills the process and its process group. Their ids are not reused before the process is
// reaped.
func (p Process) kill() {
	_ = unix.Kill(-p.Pid, unix.SIGKILL)
	_ = sys.SignalPidfd(p.Pidfd, unix.SIGKILL)
}
