package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/seccomp"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

// usageError is a wrong use of the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// execError wraps the error of an exec that did not start its process. The exit status tells it
// from a process that exits with 1.
type execError struct{ error }

func (e execError) Unwrap() error { return e.error }

// exitStatus returns the program's exit status for an error.
func exitStatus(err error) int {
	if e := (execError{}); errors.As(err, &e) {
		return 255
	}
	return 1
}

// A detail is a field of the error's line in the log, beside the message.
type detail struct{ key, value string }

// details returns the fields of an error for programs to read:
//
//	code   the kind of error, see codeOf
//	errno  the kernel's error, such as "EPERM"
//	path   the file that the error is about
//	field  the field of config.json that caused it
//	step   the step of the container's setup that failed
func details(err error) []detail {
	var list []detail
	add := func(key, value string) {
		if value != "" {
			list = append(list, detail{key, value})
		}
	}
	add("code", codeOf(err))
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		add("errno", unix.ErrnoName(errno))
	}
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		add("path", e.Path)
	} else if e := (*cgroups.ResourceError)(nil); errors.As(err, &e) {
		add("path", e.File)
	} else if e := (*libcontainer.HookError)(nil); errors.As(err, &e) {
		add("path", e.Path)
	}
	if e := (*specconv.FieldError)(nil); errors.As(err, &e) {
		add("field", e.Path)
	}
	if e := (*setup.StepError)(nil); errors.As(err, &e) {
		add("step", e.Title)
	}
	return list
}

// codeOf names the kind of an error. Every error has one. The names are part of the interface.
func codeOf(err error) string {
	for _, known := range [...]struct {
		err  error
		code string
	}{
		{libcontainer.ErrExist, "exist"},
		{libcontainer.ErrNotExist, "not-exist"},
		{libcontainer.ErrInvalidID, "invalid-id"},
		{specconv.ErrInvalidID, "invalid-id"},
		{libcontainer.ErrNotRunning, "not-running"},
		{libcontainer.ErrPaused, "paused"},
		{libcontainer.ErrNotPaused, "not-paused"},
		{libcontainer.ErrRunning, "running"},
		{libcontainer.ErrStarted, "started"},
		{libcontainer.ErrStopped, "stopped"},
		{libcontainer.ErrIncomplete, "incomplete"},
		{libcontainer.ErrForeign, "foreign"},
		{libcontainer.ErrNoCgroup, "no-cgroup"},
		{libcontainer.ErrCgroupInUse, "cgroup-in-use"},
		{libcontainer.ErrUnitExist, "cgroup-in-use"},
		{cgroups.ErrFull, "resource"},
		{libcontainer.ErrNoRDT, "no-rdt-group"},
		{libcontainer.ErrNoResctrl, "unsupported"},
		{libcontainer.ErrDamaged, "damaged"},
		{libcontainer.ErrDeleted, "deleted"},
		{libcontainer.ErrNewer, "newer"},
		{libcontainer.ErrNoSystemd, "systemd"},
		{seccomp.ErrUnavailable, "unsupported"},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	for _, known := range [...]struct {
		is   func(error) bool
		code string
	}{
		{isA[*usageError], "usage"},
		{isA[*cgroups.SubError], "usage"},
		{isA[*libcontainer.HookError], "hook"},
		{func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }, "timeout"},
		{isA[specconv.Problem], "config"},
		{isA[*codec.SyntaxError], "config"},
		{isA[*cgroups.ResourceError], "resource"},
		{isA[*setup.StepError], "step"},
		{isA[*libcontainer.SetupError], "process"},
		{isA[*specconv.FieldError], "host"},
		{isA[*libcontainer.SystemdError], "systemd"},
		{isA[*exec.ExitError], "program"},
		{isA[*exec.Error], "program"},
		{isA[cli.ExitCoder], "usage"}, // the library's, for help on a command that does not exist
		{isA[syscall.Errno], "system"},
	} {
		if known.is(err) {
			return known.code
		}
	}
	return "internal"
}

// isA reports whether an error is of a type.
func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
