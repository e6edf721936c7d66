package sys

import "golang.org/x/sys/unix"

// UnixSocket makes a unix(7) socket of a type, as unix.SOCK_STREAM.
func UnixSocket(kind int) (int, error) {
	return unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
}

// Connect connects a unix(7) socket to an address. A name that begins with "@" is in the abstract namespace.
func Connect(socket int, address string) error {
	return RetryErr(func() error { return unix.Connect(socket, &unix.SockaddrUnix{Name: address}) })
}

// ConnectPath connects a unix(7) socket to the socket file at a path, which may be longer than the 107 bytes of an address.
func ConnectPath(socket int, path string) error {
	file, err := OpenFd(path, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	return Connect(socket, FdPath(file))
}
