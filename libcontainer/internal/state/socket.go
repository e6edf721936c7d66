package state

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

const socketName = "start.sock"

// Waiter says whether a process listens on a container's start socket. The first process holds the
// socket, close-on-exec, until it executes the program. While a process holds it, the container is
// created and not started.
type Waiter int

const (
	// WaiterNone means that there is no socket: it was not created yet, or removed.
	WaiterNone Waiter = iota
	// WaiterGone means that no process holds the socket any more: the container was started, or its
	// process is dead.
	WaiterGone
	// WaiterHere means that a process holds the socket: the container waits for its start.
	WaiterHere
)

// String returns "none", "gone" or "here".
func (w Waiter) String() string {
	switch w {
	case WaiterNone:
		return "none"
	case WaiterGone:
		return "gone"
	case WaiterHere:
		return "here"
	}
	return strconv.Itoa(int(w))
}

// Listen creates the start socket and listens on it. It is a blocking, close-on-exec unix(7) socket
// of type SOCK_SEQPACKET.
func (d *Dir) Listen() (*os.File, error) {
	fd, err := sys.UnixSocket(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, d.socketError("socket", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: d.socketAddr()})
	op := "bind"
	if err == nil {
		op, err = "listen", unix.Listen(fd, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, d.socketError(op, err)
	}
	return os.NewFile(uintptr(fd), d.socketPath()), nil
}

// Connect connects to the start socket. The connection is blocking and close-on-exec. The error is
// unix.ECONNREFUSED when no process holds the socket and unix.ENOENT when there is none.
func (d *Dir) Connect() (*os.File, error) {
	fd, err := sys.UnixSocket(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, d.socketError("socket", err)
	}
	if err := sys.Connect(fd, d.socketAddr()); err != nil {
		_ = unix.Close(fd)
		return nil, d.socketError("connect", err)
	}
	return os.NewFile(uintptr(fd), d.socketPath()), nil
}

// Probe returns the state of the start socket, unnoticed by its holder: the kernel finds the name
// but refuses a socket of another type if there is a holder (unix_find_bsd in net/unix/af_unix.c).
func (d *Dir) Probe() (Waiter, error) {
	fd, err := sys.UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return WaiterNone, d.socketError("socket", err)
	}
	defer unix.Close(fd)
	err = sys.Connect(fd, d.socketAddr())
	switch err {
	case unix.EPROTOTYPE:
		return WaiterHere, nil
	case unix.ECONNREFUSED:
		return WaiterGone, nil
	case unix.ENOENT:
		return WaiterNone, nil
	case nil:
		err = unix.EPROTOTYPE // connected: it is not our socket
	}
	return WaiterNone, d.socketError("probe", err)
}

// socketAddr uses the directory's file descriptor: an address holds only 107 bytes of path, and a
// root may be longer.
func (d *Dir) socketAddr() string {
	return sys.FdPath(d.fd) + "/" + socketName
}

func (d *Dir) socketPath() string { return filepath.Join(d.Path(), socketName) }

func (d *Dir) socketError(op string, err error) error {
	return &os.PathError{Op: op, Path: d.socketPath(), Err: err}
}
