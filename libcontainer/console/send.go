// Package console handles pseudoterminals on the runtime's side: it sends a terminal's master, or
// another descriptor, to a receiver over a Unix socket, and relays between a container's terminal
// and the caller's own.
package console

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// The names that are sent with a pidfd, as runc does since 1.2.
const (
	// PidfdCreate is for the first process of a container.
	PidfdCreate = "standard"
	// PidfdExec is for a process that joins a container.
	PidfdExec = "setns"
)

// maxName is the longest name that receivers have a buffer for: containerd's go-runc and runc's
// utils.RecvFile have 4096 bytes.
const maxName = 4096

// Send connects to the Unix stream socket at path and sends one message: the name as its data and
// the file's descriptor as SCM_RIGHTS (unix(7)). This is what containerd, conmon and others expect
// at --console-socket, with the terminal's master, and at --pidfd-socket. The path may be longer
// than a socket address. The file stays open.
func Send(path, name string, f *os.File) error {
	if name == "" || len(name) >= maxName {
		return fmt.Errorf("send descriptor to %s: name of %d bytes", path, len(name))
	}
	return SendMessage(path, []byte(name), f)
}

// SendMessage is Send with data of any length. The descriptor is sent with its first byte.
func SendMessage(path string, data []byte, f *os.File) error {
	sock, err := connect(path)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	rights := unix.UnixRights(int(f.Fd()))
	for len(data) > 0 {
		// MSG_NOSIGNAL: a receiver that has gone is an error, not a signal.
		n, err := sys.Retry(func() (int, error) { return unix.SendmsgN(sock, data, rights, nil, unix.MSG_NOSIGNAL) })
		if err != nil {
			return fmt.Errorf("send descriptor to %s: %w", path, asTimeout(err))
		}
		data, rights = data[n:], nil
	}
	return nil
}

// sendLimit is the timeout for a receiver to accept a connection, and to read a message when its
// buffer is full.
const sendLimit = 10 * time.Second

// asTimeout converts the EAGAIN of a socket to a timeout.
func asTimeout(err error) error {
	if err == unix.EAGAIN {
		return timeout.Errorf("the receiver has not taken it within %v", sendLimit)
	}
	return err
}

// connect connects to the socket at path.
func connect(path string) (int, error) {
	fail := func(err error) (int, error) {
		return -1, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	sock, err := sys.UnixSocket(unix.SOCK_STREAM)
	if err != nil {
		return fail(err)
	}
	if err := sys.SetSendTimeout(sock, sendLimit); err != nil {
		_ = unix.Close(sock)
		return fail(err)
	}
	if err := sys.ConnectPath(sock, path); err != nil {
		_ = unix.Close(sock)
		return fail(asTimeout(errors.Unwrap(err)))
	}
	return sock, nil
}
