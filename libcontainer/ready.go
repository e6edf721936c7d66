package libcontainer

import (
	"errors"
	"io/fs"
	"os"

	"github.com/orlop/orlop/libcontainer/internal/notify"
	"github.com/orlop/orlop/libcontainer/internal/resource"
)

// StartNotify is Start for a container that was created with NotifySocket: AwaitReady waits after
// that until it is ready.
func (c *Container) StartNotify(notifySocket string) error {
	var r *resource.Readiness
	err := c.start(func(v *view) error {
		dir, err := v.dir.OpenNotify()
		if errors.Is(err, fs.ErrNotExist) {
			c.runtime.warn(notify.Variable + ": the container was created without it and has no way to say that it is ready")
			return nil
		}
		if err == nil {
			r, err = resource.ListenReady(notifySocket, dir)
		}
		if err != nil {
			return err
		}
		pidfd, err := v.pidfd()
		if err != nil {
			return err
		}
		defer pidfd.Close()
		return r.SetProcess(v.rec.Pid, pidfd)
	})
	if err != nil && r != nil {
		r.Close()
		r = nil
	}
	c.ready = r
	return err
}

// AwaitReady waits until the program of a container that was started with NotifySocket says that it
// is ready, tells the service manager, and returns; or when the container has ended. It is called
// once, at most, after StartNotify or Run.
func (c *Container) AwaitReady() error {
	if c.ready == nil {
		return nil
	}
	defer c.ready.Close()
	_, err := c.ready.Pass(c.ready.Pid(), c.runtime.Interrupt, ErrInterrupted)
	return c.wrap(err)
}

// ForwardReady is AwaitReady for a caller that stays until the container ends, and that the service
// manager takes for the service: the main process is the caller. It returns when the container has
// ended, or after an error.
func (c *Container) ForwardReady() error {
	if c.ready == nil {
		return nil
	}
	defer c.ready.Close()
	for {
		ready, err := c.ready.Pass(os.Getpid(), nil, nil)
		if err != nil || !ready {
			return c.wrap(err)
		}
	}
}
