package libcontainer

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/launch"
)

// A Process is a process in a container. The calling program started it and is its parent.
type Process struct{ child *launch.Child }

// Pid returns the process's PID in the caller's PID namespace.
func (p *Process) Pid() int { return p.child.Pid }

// Pidfd returns the process's pidfd (pidfd_open(2)). It stays the Process's, until Close.
func (p *Process) Pidfd() *os.File { return p.child.Pidfd }

// Console returns the master of the process's terminal, which is the caller's to close. It is nil
// when the process has no terminal, or when its master went to a console socket.
func (p *Process) Console() *os.File { return p.child.Console }

// Signal sends a signal to the process. The error is ErrNotRunning when it has ended.
func (p *Process) Signal(sig unix.Signal) error { return signalPidfd(p.child.Pidfd, sig) }

// Wait waits for the process to end and returns its exit status, or 128 and the number of the
// signal that ended it, as a shell does. It can be called once.
func (p *Process) Wait() (int, error) { return exitStatus(p.child.Wait()) }

// WaitReaping is Wait for a program that has no other children of its own: on the way it reaps all
// that come to it, as they do to a subreaper (PR_SET_CHILD_SUBREAPER) when processes of the
// container lose their parent.
func (p *Process) WaitReaping() (int, error) { return exitStatus(p.child.WaitReaping()) }

func exitStatus(s unix.WaitStatus, err error) (int, error) {
	if err == nil && s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return s.ExitStatus(), err
}

// Close closes the file descriptors of the Process, except Console. The process continues.
func (p *Process) Close() error { return p.child.Pidfd.Close() }
