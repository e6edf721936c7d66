package launch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/nsenter"
)

const (
	// AnswerLimit is how long a process may take for each step of its setup.
	AnswerLimit = 30 * time.Second
	// EndLimit is how long a killed process may take to end.
	EndLimit = 10 * time.Second
)

// ErrEnded stops an operation for a container whose first process has ended meanwhile.
var ErrEnded = errors.New("stopped, for the container's process has ended meanwhile")

// Receive waits for a message from a process, or the end of its channel. A negative limit means
// none.
func Receive(conn *nsenter.Conn, pid int, limit time.Duration, stops []hooks.Stop) (nsenter.Message, error) {
	files := make([]*os.File, len(stops))
	for i, s := range stops {
		files[i] = s.File
	}
	first, err := conn.Wait(limit, files...)
	switch {
	case err != nil:
		return nsenter.Message{}, err
	case first == nsenter.TimeUp:
		return nsenter.Message{}, timeout.Errorf("the process did not go on within %v: %s", limit, cgroups.BlockedBy(pid))
	case first > 0:
		return nsenter.Message{}, stops[first-1].Err
	}
	return conn.Next()
}

// AwaitEnd waits for the end of a killed process, which need not be a child.
func AwaitEnd(pidfd *os.File, pid int, deadline time.Time) error {
	ended, err := sys.AwaitExit(pidfd, deadline)
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	if !ended {
		return timeout.Errorf("killed, and has not ended within %v: %s", EndLimit, cgroups.BlockedBy(pid))
	}
	return nil
}

// endChild kills a child and waits for its end.
func endChild(p *nsenter.Process) error {
	if err := sys.SignalPidfd(p.Pidfd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.Pid, err)
	}
	_, err := waitChild(p)
	return err
}

// waitChild waits for the end of a child that is about to exit.
func waitChild(p *nsenter.Process) (unix.WaitStatus, error) {
	if err := AwaitEnd(p.Pidfd, p.Pid, time.Now().Add(EndLimit)); err != nil {
		return 0, err
	}
	return p.Wait()
}
