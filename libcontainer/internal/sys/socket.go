package sys

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// UnixSocket creates a unix(7) socket of a type such as unix.SOCK_STREAM.
func UnixSocket(kind int) (int, error) {
	return unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
}

// SetSendTimeout limits how long connect(2) and writes to a blocking socket wait. They then fail
// with EAGAIN.
func SetSendTimeout(socket int, limit time.Duration) error {
	timeval := unix.NsecToTimeval(int64(limit))
	return unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeval)
}

// Connect connects a unix(7) socket to an address. A name that starts with "@" is in the abstract
// namespace.
func Connect(socket int, address string) error {
	return RetryErr(func() error { return unix.Connect(socket, &unix.SockaddrUnix{Name: address}) })
}

// ConnectPath connects a unix(7) socket to the socket file at a path, which may be longer than the
// 107 bytes of an address. An error is an [*os.PathError].
func ConnectPath(socket int, path string) error {
	file, err := Open(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := Connect(socket, FdPath(int(file.Fd()))); err != nil {
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return nil
}
