// Package notify lets a container report to the service manager that started the runtime that it is
// ready (sd_notify(3)).
//
// A service manager such as systemd passes the address of its socket as $NOTIFY_SOCKET and waits
// for the message READY=1. A program in a container sees neither that socket nor, in its own PID
// namespace, its PID as the manager knows it. So it gets a socket of its own, and the runtime
// passes the message on:
//
//	program              container                    runtime               service manager
//	  READY=1  ------->  /run/notify/notify.sock  ->  run, start: this package
//	                                                  MAINPID=77, READY=1 ->  $NOTIFY_SOCKET
//	                                                  BARRIER=1 ----------->  (all was read)
//
// No process stays behind for this. The directory of the socket is in the container's state
// directory, and is bound into the container read-only when that is made. The command that starts
// the container makes and reads the socket:
//
//	run             reads until the container ends. MAINPID is its own PID, since it ends with the
//	                container and receives its signals.
//	run --detach    reads until READY=1 has come or the container has ended, and only then
//	                returns. MAINPID is the container's.
//	create, start   create makes the directory, start makes the socket and continues like run
//	                --detach.
//
// When nobody reads the socket any more, later messages of the program are refused (ECONNREFUSED).
//
// Messages of a container are untrusted: only READY=1 is passed on, and the rest of a message is
// dropped.
package notify

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// Variable is the environment variable with the address, for the runtime and for the container.
const Variable = "NOTIFY_SOCKET"

// The container's directory and socket.
const (
	Directory = "/run/notify"
	name      = "notify.sock"
	Path      = Directory + "/" + name
)

// A Socket receives the messages of a container's program.
type Socket struct{ fd int }

// Listen makes the container's socket in a directory of the host, and replaces an existing one.
func Listen(dir *os.File) (*Socket, error) {
	// By the directory's descriptor, since an address only holds 107 bytes of path.
	path := sys.FdPath(int(dir.Fd())) + "/" + name
	fail := func(op string, err error) (*Socket, error) {
		return nil, &os.PathError{Op: op, Path: dir.Name() + "/" + name, Err: err}
	}
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fail("remove", err)
	}
	fd, err := sys.UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return fail("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return fail("bind", err)
	}
	if err := makeWritable(path); err != nil {
		unix.Close(fd)
		return fail("chmod", err)
	}
	return &Socket{fd}, nil
}

// makeWritable lets everybody write to a socket: the container may run as any user, and only the
// container can reach the socket. A process of the container that has gained the permission to
// write to the directory may have replaced the socket by a link.
func makeWritable(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return unix.ENOTSOCK
	}
	return unix.Chmod(sys.FdPath(fd), 0o777)
}

// Close closes the socket, but does not remove its name.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// maxMessage is more than the useful part of any sd_notify message; the rest of a longer one is
// lost.
const maxMessage = 4096

// Ready waits until the container sends READY=1. It returns false if its process, of which until is
// a pidfd, has exited before. When interrupt, which may be nil, becomes readable, it fails with
// unix.ECANCELED.
func (s *Socket) Ready(until, interrupt *os.File) (bool, error) {
	buffer := make([]byte, maxMessage)
	for {
		ended, err := wait(s.fd, until, interrupt)
		if err != nil {
			return false, fmt.Errorf("wait for the container's readiness: %w", err)
		}
		// Messages from before the exit count. The kernel drops a descriptor in a message, because
		// there is no room for it.
		n, err := sys.Retry(func() (n int, err error) {
			n, _, err = unix.Recvfrom(s.fd, buffer, unix.MSG_DONTWAIT)
			return n, err
		})
		switch {
		case err == nil && saysReady(string(buffer[:n])):
			return true, nil
		case err == nil:
		case !errors.Is(err, unix.EAGAIN):
			return false, fmt.Errorf("read what the container says: %w", err)
		case ended:
			return false, nil
		}
	}
}

// wait waits for a message or the exit of a process, and reports whether the latter has happened.
func wait(socket int, pidfd, interrupt *os.File) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}, {Fd: int32(pidfd.Fd()), Events: unix.POLLIN}, {Fd: -1}}
	if interrupt != nil {
		fds[2] = unix.PollFd{Fd: int32(interrupt.Fd()), Events: unix.POLLIN}
	}
	if _, err := sys.Poll(fds, time.Time{}); err != nil {
		return false, err
	}
	if fds[2].Revents != 0 {
		return false, unix.ECANCELED
	}
	return fds[1].Revents != 0, nil
}

// saysReady reports whether a message has the line READY=1.
func saysReady(message string) bool {
	for line := range strings.Lines(message) {
		if strings.TrimRight(line, "\n\x00") == "READY=1" {
			return true
		}
	}
	return false
}

// barrierLimit is the timeout for the service manager to read the message.
const barrierLimit = 5 * time.Second

// Tell sends READY=1 to the service manager at an address, with the PID of the main process, and
// returns when the manager has read it. The manager asks the kernel for the sender's cgroup, so the
// sender must not exit earlier. An address is a path, or "@" and a name in the abstract namespace.
func Tell(address string, main int) error {
	fd, err := sys.UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	if err := connect(fd, address); err != nil {
		return err
	}
	if err := unix.Sendto(fd, []byte("MAINPID="+strconv.Itoa(main)+"\nREADY=1"), unix.MSG_NOSIGNAL, nil); err != nil {
		return fmt.Errorf("send to %s: %w", address, err)
	}
	return barrier(fd, address)
}

func connect(fd int, address string) error {
	if address == "" || address[0] != '/' && address[0] != '@' {
		return fmt.Errorf("%q: must be a path or begin with @: other sockets than unix(7)'s are not supported", address)
	}
	if address[0] == '/' {
		return sys.ConnectPath(fd, address)
	}
	if err := sys.Connect(fd, address); err != nil { // "@" stands for the abstract namespace
		return &os.PathError{Op: "connect", Path: address, Err: err}
	}
	return nil
}

// barrier sends a descriptor, which the service manager closes when it has read all earlier
// messages (sd_notify_barrier(3)).
func barrier(fd int, address string) error {
	r, w, err := sys.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = unix.Sendmsg(fd, []byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), nil, unix.MSG_NOSIGNAL)
	w.Close()
	if err != nil {
		return fmt.Errorf("send to %s: %w", address, err)
	}
	closed, err := sys.Poll(sys.PollIn(r), time.Now().Add(barrierLimit))
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if !closed {
		return timeout.Errorf("%s: the service manager has not read within %v that the container is ready", address, barrierLimit)
	}
	return nil
}
