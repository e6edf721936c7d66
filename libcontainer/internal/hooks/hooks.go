// Package hooks runs the hooks of a container: in order, each with the container's state on its standard input, within
// its time limit.
//
// The package waits, feeds and reports; how a hook's process comes into being is a Starter's business, since some hooks
// run in the runtime's namespaces (Host) and some in the container's.
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

// Starter starts the process of a hook and returns when it has executed the hook's program, or with the reason why it
// could not. The process has the three files as its standard streams, exactly the hook's arguments (its path when it has
// none) and environment (see Complete when it has none), leads a process group of its own, and is killed when the thread ends that calls the Starter. The files belong to the caller.
type Starter func(h specs.Hook, stdin, stdout, stderr *os.File) (Process, error)

// Process is a hook that was started, a child of this process that nobody else waits for.
type Process struct {
	Pid int
	// Pidfd is the process's descriptor. Run closes it.
	Pidfd *os.File
}

// Error is the failure of one hook.
type Error struct {
	Kind  string // "prestart" and so on
	Index int    // in the list of that kind
	Path  string // of the hook
	Err   error  // *ExitError, *TimeoutError, or why it could not be started
}

// Error names the hook by its field in config.json, and its path.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %v", e.field(), e.Path, e.Err)
}

func (e *Error) field() string { return jsonpath.Index("hooks."+e.Kind, e.Index) }

// Unwrap returns the cause, as that of an error of the hook's field.
func (e *Error) Unwrap() error { return &specconv.FieldError{Path: e.field(), Err: e.Err} }

// ExitError says that a hook ended with a status other than 0.
type ExitError struct {
	Status unix.WaitStatus
	// Output is the end of what the hook wrote to its standard error, or to its standard output when it wrote no errors.
	Output string
}

// Error gives the status and the output, on one line.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("exit status %d", e.Status.ExitStatus())
	if e.Status.Signaled() {
		text = "killed by " + signalName(e.Status.Signal())
	}
	return text + outputSuffix(e.Output)
}

// TimeoutError says that a hook did not end in time. It was killed, with its process group.
type TimeoutError struct {
	Timeout time.Duration
	Output  string // as in ExitError
}

// Error gives the time limit and the output, on one line.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("timed out after %d s%s", e.Timeout/time.Second, outputSuffix(e.Output))
}

// Is makes it an os.ErrDeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

// outputSuffix puts a hook's output on the line of its error: engines read errors as one line.
func outputSuffix(output string) string {
	lines := strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines, "; ")
}

// A Stop is a reason to end a hook before its time: File becomes readable then. The hook is killed, and Err is why it failed.
type Stop struct {
	File *os.File
	Err  error
}

// Run runs the hooks of a list one after the other and stops at the first that fails, with an *Error. Each reads state,
// the container's state as JSON, from its standard input.
func Run(kind string, list []specs.Hook, state []byte, start Starter, stops ...Stop) error {
	for i := range list {
		if err := run(list[i], state, start, stops); err != nil {
			return &Error{Kind: kind, Index: i, Path: list[i].Path, Err: err}
		}
	}
	return nil
}

// RunAll is Run for hooks whose failure stops nothing (poststop): all of them run, and it returns the
// errors of those that failed, each an *Error.
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
	// A hook ends with the thread that has started it (PR_SET_PDEATHSIG of prctl(2)), and so with this program, however that ends.
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
	// The hook alone holds its ends now.
	_ = stdin.Close()
	_ = outW.Close()
	_ = errW.Close()
	return p.wait(limit, stops, stdout, stderr)
}

// wait waits until the process ends, reaps it, and says how it went. What a hook has left in the background is not
// waited for.
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

// watch reads the process's output until it has ended (its pidfd is readable then), its time is up, or something stops it. No limit is 0.
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
			fds = append(fds, unix.PollFd{Fd: o.pollFd(), Events: unix.POLLIN})
		}
		if limit > 0 && time.Until(deadline) <= 0 {
			return true, nil
		}
		if _, err := sys.Poll(fds, deadline); err != nil {
			return false, fmt.Errorf("poll process %d: %w", p.Pid, err)
		}
		// First of all, since what stops a hook may also end it: a hook in the container's PID namespace ends with that.
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

// awaitEnd waits for the end of the process, which was killed. A hook that waits in the kernel or
// in a frozen cgroup may not end.
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

// kill kills the process and its process group. The numbers cannot be others' as long as the process is not reaped.
func (p Process) kill() {
	_ = unix.Kill(-p.Pid, unix.SIGKILL)
	_ = sys.SignalPidfd(p.Pidfd, unix.SIGKILL)
}
