package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/seccompfilter"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
)

// Start makes a created container execute its program, and returns when it has. The error is
// ErrStarted or ErrStopped when the container does not wait for its start. If the program cannot be
// executed, the container has stopped. If a startContainer or poststart hook fails, the container
// is deleted.
func (c *Container) Start() error { return c.start(func(*view) error { return nil }) }

// start is Start, and calls before when the container is about to go on.
func (c *Container) start(before func(*view) error) error {
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		switch status {
		case specs.StateCreated:
		case specs.StateStopped:
			return ErrStopped
		case StatusPaused:
			return ErrPaused
		case specs.StateCreating:
			return errCreating
		default:
			return ErrStarted
		}
		first, err := v.dir.Start()
		if err != nil {
			return err
		}
		if !first {
			return fmt.Errorf("%w: another start is at work", ErrStarted)
		}
		if err := v.dir.Unlock(); err != nil {
			return err
		}
		if err := before(v); err != nil {
			return err
		}
		err = v.start(c.runtime)
		c.runtime.takeInterrupt(err)
		var hook *hooks.Error
		if errors.As(err, &hook) {
			err = errors.Join(err, v.destroySame(c.runtime))
		}
		return err
	})
}

// destroySame is destroy for a container that may have been deleted meanwhile, because its lock was
// not held.
func (v *view) destroySame(r *Runtime) error {
	err := v.dir.LockSame(lockLimit)
	if errors.Is(err, ErrNotExist) {
		return ErrDeleted
	}
	if err != nil {
		return err
	}
	return v.destroy(r)
}

// start connects to the waiting process, and serves it until it has executed its program.
func (v *view) start(r *Runtime) error {
	container, err := v.pidfd()
	if err != nil {
		return err
	}
	defer container.Close()
	file, err := v.dir.Connect()
	if errors.Is(err, unix.ECONNREFUSED) {
		return v.gone()
	}
	if err != nil {
		return fmt.Errorf("connect to the container's process: %w", err)
	}
	conn := nsenter.NewConn(file)
	defer conn.Close()
	stops := r.stopsAtEnd(container)
	next := func() (nsenter.Message, error) {
		return launch.Receive(conn, v.rec.Pid, launch.AnswerLimit, stops)
	}
	m, err := next()
	switch {
	case err == io.EOF, errors.Is(err, launch.ErrEnded):
		return v.gone()
	case err != nil:
		return v.stepError(container, err)
	case m.ID != setup.MessageStart:
		return fmt.Errorf("the container's process sent message %d at its start", m.ID)
	}
	if err := r.runStartHooks(v.rec, v.dir, stops); err != nil {
		return err
	}
	if err := conn.Resume(); err != nil {
		if errors.Is(err, unix.EPIPE) {
			return ErrStopped
		}
		return err
	}
	if m, err = next(); err == nil && m.ID == setup.MessageSeccomp {
		if err := seccompfilter.HandListener(v.rec, specs.StateCreated, v.rec.Pid, m.File); err != nil {
			return err
		}
		if err := conn.Resume(); err != nil {
			return err
		}
		m, err = next()
	}
	if err == nil {
		return fmt.Errorf("the container's process sent message %d in place of its exec", m.ID)
	}
	if err != io.EOF {
		return v.stepError(container, err)
	}
	if err := v.executed(container); err != nil {
		return err
	}
	return r.runPoststartHooks(v.dir, v.rec, r.stops())
}

// executed reports an error if the container's process has ended before the exec of its program,
// without a message.
func (v *view) executed(container *os.File) error {
	if v.rec.Seccomp == nil {
		return nil
	}
	ended := launch.Executed(v.rec.Pid, container)
	if ended == nil {
		return nil
	}
	if !seccompfilter.Recorded(v.rec).Mute() {
		return nil
	}
	return ended
}

// gone explains that a process no longer waits: it has ended, or a start that was killed has
// released it.
func (v *view) gone() error {
	alive, err := sys.Alive(v.rec.Pid, v.rec.StartTime)
	switch {
	case err != nil:
		return err
	case alive:
		return ErrStarted
	}
	return ErrStopped
}

// stepError says which step of the waiting process failed, and waits for its end: then the
// container has stopped.
func (v *view) stepError(container *os.File, err error) error {
	var f *nsenter.Failure
	if !errors.As(err, &f) {
		return err
	}
	ended := launch.AwaitEnd(container, v.rec.Pid, time.Now().Add(launch.EndLimit))
	var left []setup.Remaining
	for _, o := range v.rec.Remaining {
		left = append(left, setup.Remaining(o))
	}
	return errors.Join(setup.FailedRemaining(left, f), ended)
}
