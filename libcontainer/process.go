package libcontainer

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A Process is a process in a container that the calling program started, and that is its child.
type Process struct {
	pid     int
	pidfd   *os.File
	console *os.File
	outputs *outputRelay // nil where the process has the caller's files
}

// Pid returns the process's number in the caller's PID namespace.
func (p *Process) Pid() int { return p.pid }

// Pidfd returns the descriptor that stands for the process (pidfd_open(2)). It stays the Process's, until Close.
func (p *Process) Pidfd() *os.File { return p.pidfd }

// Console returns the master of the process's terminal, which is the caller's to close. It is nil when the process has no terminal, or
// when its master went to a console socket.
func (p *Process) Console() *os.File { return p.console }

// Signal sends a signal to the process. The error is ErrNotRunning when it has ended.
func (p *Process) Signal(sig unix.Signal) error { return signalPidfd(p.pidfd, sig) }

// Wait waits for the process to end and returns its exit status, or 128 and the number of the signal that ended it, as a
// shell does. It can be called once.
func (p *Process) Wait() (int, error) {
	status, err := sys.Reap(p.pid)
	if err != nil {
		return 0, err
	}
	p.outputs.finish()
	return exitStatus(status), nil
}

// WaitReaping is Wait for a program that has no other children of its own: on the way it reaps all that come to it, as they do to a
// subreaper (PR_SET_CHILD_SUBREAPER) when processes of the container lose their parent.
func (p *Process) WaitReaping() (int, error) {
	for {
		var status unix.WaitStatus
		pid, err := sys.Retry(func() (int, error) { return unix.Wait4(-1, &status, 0, nil) })
		if err != nil {
			return 0, fmt.Errorf("wait for process %d: %w", p.pid, err)
		}
		if pid == p.pid {
			p.outputs.finish()
			return exitStatus(status), nil
		}
	}
}

func exitStatus(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// Close releases the descriptors that the Process holds, but for Console. The process goes on.
func (p *Process) Close() error { return p.pidfd.Close() }
