package libcontainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/launch"
)

// Kill sends a signal to the container's first process. If the container has no PID namespace of
// its own, the end of the first process does not end the others: then SIGKILL goes to all of its
// processes, also after the first one has ended. The error is ErrNotRunning when there is none.
func (c *Container) Kill(sig unix.Signal) error {
	return c.with(unlocked, func(v *view, status specs.ContainerState) error {
		switch status {
		case specs.StateCreating:
			// Nothing runs yet that could take another signal, but the process can be ended, and
			// the creation with it.
			if sig != unix.SIGKILL || v.rec.Pid == 0 {
				return errCreating
			}
			return v.kill(sig)
		case specs.StateStopped:
			return v.killRest(sig)
		}
		return v.kill(sig)
	})
}

// killRest kills the processes that the container's first one has left behind.
func (v *view) killRest(sig unix.Signal) error {
	if v.incomplete || sig != unix.SIGKILL || v.rec.Owns(specs.PIDNamespace) {
		return ErrNotRunning
	}
	left, err := v.placement().Processes()
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return ErrNotRunning
	}
	return v.placement().Signal(sig)
}

func (v *view) kill(sig unix.Signal) error {
	if sig == unix.SIGKILL && !v.rec.Owns(specs.PIDNamespace) {
		return v.placement().Signal(sig)
	}
	f, err := v.pidfd()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := signalPidfd(f, sig); err != nil {
		return err
	}
	if sig != unix.SIGKILL {
		return nil
	}
	return v.placement().ThawKilled()
}

// KillAll sends a signal to all processes of the container. That it has none left is no error.
func (c *Container) KillAll(sig unix.Signal) error {
	v, err := c.view(unlocked)
	if err != nil {
		return err
	}
	defer v.close()
	if v.incomplete {
		return nil
	}
	return c.wrap(v.placement().Signal(sig))
}

// end kills the container's first process and waits for its end.
func (v *view) end() error {
	f, err := v.pidfd()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := signalPidfd(f, unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	if err := v.placement().ThawKilled(); err != nil {
		return err
	}
	err = launch.AwaitEnd(f, v.rec.Pid, time.Now().Add(launch.EndLimit))
	if err == nil {
		return nil
	}
	// The first process of a PID namespace waits for all others.
	rest, listErr := v.placement().Processes()
	rest = slices.DeleteFunc(rest, func(pid int) bool { return pid == v.rec.Pid })
	if listErr == nil && len(rest) > 0 {
		err = fmt.Errorf("%w; in the container: %s", err, cgroups.BlockedBy(rest...))
	}
	return err
}
