package resource

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/notify"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// NotifySocket is the directory of the socket on which a container reports that it is ready: see
// package notify.
type NotifySocket struct {
	// Ready is the socket if the caller also starts the container, and nil otherwise.
	Ready *Readiness

	entry   *Entry
	address string // of the service manager; "" means no socket
	direct  bool
}

// NewNotifySocket returns the socket for a bundle, if the service manager has an address and the
// container can get a socket. With direct the caller also starts the container.
func NewNotifySocket(e *Entry, b *specconv.Bundle, address string, direct bool, warn func(string)) *NotifySocket {
	n := &NotifySocket{entry: e, direct: direct}
	p := b.Spec.Process
	if address == "" || p == nil {
		return n
	}
	if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, notify.Variable+"=") }) {
		return n // the configuration provides a socket of its own
	}
	if _, ok := b.Namespace(specs.MountNamespace); !ok {
		warn(notify.Variable + ": a container without a mount namespace has no way to say that it is ready")
		return n
	}
	n.address = address
	return n
}

// Share returns the directory that the plan mounts into the container, nil without a socket.
func (n *NotifySocket) Share(root, id string) *setup.Share {
	if n.address == "" {
		return nil
	}
	return &setup.Share{
		Source:      state.Open(root).NotifyPath(id),
		Destination: notify.Directory,
		Variable:    notify.Variable + "=" + notify.Path,
	}
}

// Record implements Resource. The directory needs no record: it is in the state directory.
func (n *NotifySocket) Record(*state.Record) error { return nil }

// Prepare implements Resource.
func (n *NotifySocket) Prepare() error {
	if n.address == "" {
		return nil
	}
	dir, err := n.entry.Dir.MakeNotify()
	if err != nil {
		return fmt.Errorf("%s: %w", notify.Variable, err)
	}
	if !n.direct {
		return dir.Close()
	}
	n.Ready, err = ListenReady(n.address, dir)
	return err
}

// Undo implements Resource.
func (n *NotifySocket) Undo() error {
	if n.Ready != nil {
		n.Ready.Close()
		n.Ready = nil
	}
	return nil
}

// Readiness is the socket on which a container reports that it is ready.
type Readiness struct {
	address string // of the service manager
	socket  *notify.Socket
	pidfd   *os.File // of the container's process
	pid     int
}

// ListenReady creates the container's socket in dir, and closes dir.
func ListenReady(address string, dir *os.File) (*Readiness, error) {
	defer dir.Close()
	socket, err := notify.Listen(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", notify.Variable, err)
	}
	return &Readiness{address: address, socket: socket}, nil
}

// SetProcess sets the process whose readiness is awaited. The pidfd stays the caller's.
func (r *Readiness) SetProcess(pid int, pidfd *os.File) error {
	fd, err := unix.FcntlInt(pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: duplicate the pidfd: %w", notify.Variable, err)
	}
	r.pid, r.pidfd = pid, os.NewFile(uintptr(fd), "pidfd")
	return nil
}

// Pid returns the PID of the process whose readiness is awaited.
func (r *Readiness) Pid() int { return r.pid }

// Close closes the socket.
func (r *Readiness) Close() {
	r.socket.Close()
	if r.pidfd != nil {
		r.pidfd.Close()
	}
}

// Pass waits until the container reports that it is ready and tells the service manager, with main
// as the main process. It returns false if the container has ended. It fails with interrupted if
// interrupt, which may be nil, becomes readable.
func (r *Readiness) Pass(main int, interrupt *os.File, interrupted error) (bool, error) {
	ready, err := r.socket.Ready(r.pidfd, interrupt)
	if errors.Is(err, unix.ECANCELED) {
		err = interrupted
	}
	if err == nil && ready {
		err = notify.Tell(r.address, main)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", notify.Variable, err)
	}
	return ready, err
}
