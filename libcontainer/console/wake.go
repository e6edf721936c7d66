package console

import (
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// wake is a flag that poll can wait for.
type wake struct {
	fd   int // an eventfd
	flag atomic.Bool
}

func newWake() (*wake, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	return &wake{fd: fd}, nil
}

// set sets the flag permanently.
func (w *wake) set() {
	w.flag.Store(true)
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1} // not 0 in either byte order
	_, _ = sys.Retry(func() (int, error) { return unix.Write(w.fd, one[:]) })
}

func (w *wake) isSet() bool { return w.flag.Load() }

func (w *wake) close() { _ = unix.Close(w.fd) }

// pollFor waits until fd is ready for events, or has ended, and returns true. It returns false when
// stop, which may be nil, is set.
func pollFor(fd int, events int16, stop *wake) (ready bool, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}, {Fd: -1}}
	if stop != nil {
		fds[1] = unix.PollFd{Fd: int32(stop.fd), Events: unix.POLLIN}
	}
	if _, err := sys.Poll(fds, time.Time{}); err != nil {
		return false, fmt.Errorf("poll terminal: %w", err)
	}
	return fds[1].Revents == 0, nil
}

// within waits until the flag is set, and reports whether that happened in time.
func (w *wake) within(limit time.Duration) (bool, error) {
	return sys.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, time.Now().Add(limit))
}
