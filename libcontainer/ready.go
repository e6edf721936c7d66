package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/notify"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/state"
)

// readiness is the way on which a container says that it is ready: see package notify.
type readiness struct {
	address string // the service manager's
	socket  *notify.Socket
	pidfd   *os.File // of the container's process
	pid     int
}

// listen makes the container's socket in a folder of its state.
func listen(address string, folder *os.File) (*readiness, error) {
	defer folder.Close()
	socket, err := notify.Listen(folder)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", notify.Variable, err)
	}
	return &readiness{address: address, socket: socket}, nil
}

// of sets the process that is to be ready.
func (r *readiness) of(pid int, pidfd *os.File) error {
	fd, err := unix.FcntlInt(pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: duplicate the pidfd: %w", notify.Variable, err)
	}
	r.pid, r.pidfd = pid, os.NewFile(uintptr(fd), "pidfd")
	return nil
}

func (r *readiness) close() {
	r.socket.Close()
	if r.pidfd != nil {
		r.pidfd.Close()
	}
}

// pass waits for the container's word and passes it on, with main as the main process. It returns false when the container has ended.
func (r *readiness) pass(main int, interrupt *os.File) (bool, error) {
	ready, err := r.socket.Ready(r.pidfd, interrupt)
	if errors.Is(err, unix.ECANCELED) {
		err = ErrInterrupted
	}
	if err == nil && ready {
		err = notify.Tell(r.address, main)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", notify.Variable, err)
	}
	return ready, err
}

// share returns what the container gets to say that it is ready by, nil when it is to have nothing.
func (c *creation) share() *setup.Share {
	p := c.bundle.Spec.Process
	if c.options.NotifySocket == "" || p == nil {
		return nil
	}
	if slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, notify.Variable+"=") }) {
		return nil // the configuration has a way of its own
	}
	if _, ok := c.bundle.Namespace(specs.MountNamespace); !ok {
		c.runtime.warn(notify.Variable + ": a container without a mount namespace has no way to say that it is ready")
		return nil
	}
	return &setup.Share{
		Source:      state.Open(c.runtime.Root).NotifyPath(c.id),
		Destination: notify.Directory,
		Variable:    notify.Variable + "=" + notify.Path,
	}
}

// makeNotify makes what share speaks of.
func (c *creation) makeNotify() error {
	if !c.shares {
		return nil
	}
	folder, err := c.dir.MakeNotify()
	if err != nil {
		return fmt.Errorf("%s: %w", notify.Variable, err)
	}
	if !c.direct {
		return folder.Close()
	}
	c.ready, err = listen(c.options.NotifySocket, folder)
	return err
}

// StartNotify is Start for a container that was created with NotifySocket: AwaitReady waits after that until it is ready.
func (c *Container) StartNotify(notifySocket string) error {
	var r *readiness
	err := c.start(func(v *view) error {
		folder, err := v.dir.OpenNotify()
		if errors.Is(err, fs.ErrNotExist) {
			c.runtime.warn(notify.Variable + ": the container was created without it and has no way to say that it is ready")
			return nil
		}
		if err == nil {
			r, err = listen(notifySocket, folder)
		}
		if err != nil {
			return err
		}
		pidfd, err := v.pidfd()
		if err != nil {
			return err
		}
		defer pidfd.Close()
		return r.of(v.rec.Pid, pidfd)
	})
	if err != nil && r != nil {
		r.close()
		r = nil
	}
	c.ready = r
	return err
}

// AwaitReady waits until the program of a container that was started with NotifySocket says that it is ready, tells the service manager, and
// returns; or when the container has ended. It is called once, at most, after StartNotify or Run.
func (c *Container) AwaitReady() error {
	if c.ready == nil {
		return nil
	}
	defer c.ready.close()
	_, err := c.ready.pass(c.ready.pid, c.runtime.Interrupt)
	return c.wrap(err)
}

// ForwardReady is AwaitReady for a caller that stays until the container ends, and whom the service manager is to take for the service: what
// it tells is the caller's number. It returns when the container has ended, or after an error.
func (c *Container) ForwardReady() error {
	if c.ready == nil {
		return nil
	}
	defer c.ready.close()
	for {
		ready, err := c.ready.pass(os.Getpid(), nil)
		if err != nil || !ready {
			return c.wrap(err)
		}
	}
}
