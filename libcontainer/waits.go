package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/hooks"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/nsenter"
)

// How long others are waited for. docs/waits.md has all waits of all commands.
const (
	lockLimit    = 10 * time.Second // who has a container's lock
	creatorLimit = 10 * time.Second // a creator whose container is to be deleted
	endLimit     = 10 * time.Second // a process that was killed
	chaseLimit   = 10 * time.Second // processes that fork faster than they are found
	enterLimit   = 2 * time.Second  // processes on their way into a container that has ended
	answerLimit  = 30 * time.Second // a process that sets itself up, each time that it is to say something
)

// errEnded stops what is done for a container whose first process has ended meanwhile.
var errEnded = errors.New("stopped, for the container's process has ended meanwhile")

// stops are what stops hooks and conversations from outside.
func (r *Runtime) stops() []hooks.Stop {
	if r.Interrupt == nil {
		return nil
	}
	return []hooks.Stop{{File: r.Interrupt, Err: ErrInterrupted}}
}

// stopsAtEnd are what stops hooks and conversations for a container: also the end of its first process.
func (r *Runtime) stopsAtEnd(container *os.File) []hooks.Stop {
	return append(r.stops(), hooks.Stop{File: container, Err: errEnded})
}

// takeInterrupt takes the interruption that err tells of, so that what follows can be interrupted by the next one.
func (r *Runtime) takeInterrupt(err error) {
	if errors.Is(err, ErrInterrupted) {
		var count [8]byte
		_, _ = unix.Read(int(r.Interrupt.Fd()), count[:])
	}
}

// awaitAnswer waits until a process says something or lets go of the channel.
func awaitAnswer(conn *nsenter.Conn, pid int, limit time.Duration, stops []hooks.Stop) error {
	files := make([]*os.File, len(stops))
	for i, s := range stops {
		files[i] = s.File
	}
	first, err := conn.Wait(limit, files...)
	switch {
	case err != nil:
		return err
	case first == nsenter.TimeUp:
		return timeout.Errorf("the process did not go on within %v: %s", limit, cgroups.Holdup(pid))
	case first > 0:
		return stops[first-1].Err
	}
	return nil
}

// waitPidfd waits until a process that was killed has ended; it need not be a child. deadline bounds the wait.
func waitPidfd(f *os.File, pid int, deadline time.Time) error {
	ended, err := sys.AwaitExit(f, deadline)
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", pid, err)
	}
	if !ended {
		return timeout.Errorf("killed, and has not ended within %v: %s", endLimit, cgroups.Holdup(pid))
	}
	return nil
}

// endChild kills a child and waits for its end.
func endChild(p *nsenter.Process) error {
	if err := signalPidfd(p.Pidfd, unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	_, err := waitChild(p)
	return err
}

// waitChild waits for the end of a child that has nothing left to do.
func waitChild(p *nsenter.Process) (unix.WaitStatus, error) {
	if err := waitPidfd(p.Pidfd, p.Pid, time.Now().Add(endLimit)); err != nil {
		return 0, err
	}
	return p.Wait()
}
