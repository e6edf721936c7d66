package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Process is a process in a container that the calling program started, and that is its child.
type Process struct {
	pid     int
	pidfd   *os.File
	console *os.File
	mounts  *os.File // keeps the mount namespace, see holdMounts
}

// Pid returns the process's number in the caller's PID namespace.
func (p *Process) Pid() int { return p.pid }

// Console returns the master of the process's terminal, which is the caller's to close. It is nil when the process has no terminal, or
// when its master went to a console socket.
func (p *Process) Console() *os.File { return p.console }

// Signal sends a signal to the process. The error is ErrNotRunning when it has ended.
func (p *Process) Signal(sig unix.Signal) error { return signalPidfd(p.pidfd, sig) }

// Wait waits for the process to end and returns its exit status, or 128 and the number of the signal that ended it, as a
// shell does. It can be called once.
func (p *Process) Wait() (int, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait for process %d: %w", p.pid, err)
		}
		return exitStatus(status), nil
	}
}

// WaitReaping is Wait for a program that has no other children of its own: on the way it reaps all that come to it, as they do to a
// subreaper (PR_SET_CHILD_SUBREAPER) when processes of the container lose their parent.
func (p *Process) WaitReaping() (int, error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for process %d: %w", p.pid, err)
		case pid == p.pid:
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

// holdMounts keeps the process's mount namespace until Close. The last process of a mount namespace takes it apart as it ends, 0.4 ms for
// a usual container, and nobody hears of its end before; this way that is done by Close, beside other work.
func (p *Process) holdMounts() (err error) {
	p.mounts, err = os.Open("/proc/" + strconv.Itoa(p.pid) + "/ns/mnt")
	return err
}

// Close releases the descriptors that the Process holds, but for Console. The process goes on. Of one that Run started and that has ended, it
// may take apart the mounts: it is then worthwhile to call Close and Container.Delete at the same time.
func (p *Process) Close() error {
	if p.mounts != nil {
		p.mounts.Close()
	}
	return p.pidfd.Close()
}
