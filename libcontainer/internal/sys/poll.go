package sys

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Poll waits until one of the file descriptors is ready, and reports whether one was before the
// deadline. The zero deadline means none.
func Poll(fds []unix.PollFd, deadline time.Time) (bool, error) {
	n, err := Retry(func() (int, error) {
		if deadline.IsZero() {
			return unix.Ppoll(fds, nil, nil)
		}
		left := unix.NsecToTimespec(max(int64(time.Until(deadline)), 0))
		return unix.Ppoll(fds, &left, nil)
	})
	return n > 0, err
}

// PollIn returns the argument with which Poll waits until one of the files is readable.
func PollIn(files ...*os.File) []unix.PollFd {
	fds := make([]unix.PollFd, len(files))
	for i, f := range files {
		fds[i] = unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN}
	}
	return fds
}

// Readable reports whether a file is readable. A pidfd is readable when its process has ended.
func Readable(f *os.File) bool {
	ready, _ := Poll(PollIn(f), time.Now())
	return ready
}

// OpenPidfd opens a pidfd of a process. An error is a [unix.Errno].
func OpenPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// SignalPidfd sends a signal to the process of a pidfd. An error is a [unix.Errno].
func SignalPidfd(f *os.File, sig unix.Signal) error {
	return unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0)
}

// AwaitExit waits for the end of a process, which need not be a child, and reports whether it ended
// before the deadline.
func AwaitExit(pidfd *os.File, deadline time.Time) (bool, error) {
	return Poll(PollIn(pidfd), deadline)
}
