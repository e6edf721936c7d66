package hooks

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// Complete returns a host hook with defaults for what it omits: its path as its arguments, and this
// process's environment.
func Complete(h specs.Hook) specs.Hook {
	if len(h.Args) == 0 {
		h.Args = []string{h.Path}
	}
	if len(h.Env) == 0 {
		h.Env = os.Environ()
	}
	return h
}

// Host returns the Starter for hooks that run in the runtime's namespaces: a plain fork and exec.
// The specification names no working directory for hooks. As with other runtimes it is the bundle's
// (dir), or "/" if that no longer exists, as may be the case at poststop. The hook also inherits
// file descriptors that are not close-on-exec; this library has none. The hook gets the given timer
// slack in nanoseconds, unless that is 0.
func Host(dir string, slack int) Starter {
	return func(h specs.Hook, stdin, stdout, stderr *os.File) (Process, error) {
		h = Complete(h)
		cwd := dir
		if _, err := os.Stat(dir); dir == "" || errors.Is(err, os.ErrNotExist) {
			cwd = "/"
		}
		if slack > 0 {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
				return Process{}, fmt.Errorf("prctl: %w", err)
			}
		}
		pidfd := -1
		// Not os.StartProcess: this package waits for the hook itself, by PID and pidfd.
		pid, _, err := syscall.StartProcess(h.Path, h.Args, &syscall.ProcAttr{
			Dir:   cwd,
			Env:   specconv.Environment(h.Env),
			Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
			Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd, Pdeathsig: syscall.SIGKILL},
		})
		if err != nil {
			return Process{}, err
		}
		return Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, nil
	}
}
