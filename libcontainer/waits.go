package libcontainer

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/launch"
)

// How long others are waited for. docs/waits.md has all waits of all commands.
const (
	lockLimit    = 10 * time.Second // who has a container's lock
	creatorLimit = 10 * time.Second // a creator whose container is to be deleted
)

// stops are what stops hooks and conversations from outside.
func (r *Runtime) stops() []hooks.Stop {
	if r.Interrupt == nil {
		return nil
	}
	return []hooks.Stop{{File: r.Interrupt, Err: ErrInterrupted}}
}

// stopsAtEnd are what stops hooks and conversations for a container: also the end of its first process.
func (r *Runtime) stopsAtEnd(container *os.File) []hooks.Stop {
	return append(r.stops(), hooks.Stop{File: container, Err: launch.ErrEnded})
}

// takeInterrupt takes the interruption that err tells of, so that what follows can be interrupted by the next one.
func (r *Runtime) takeInterrupt(err error) {
	if errors.Is(err, ErrInterrupted) {
		var count [8]byte
		_, _ = unix.Read(int(r.Interrupt.Fd()), count[:])
	}
}
