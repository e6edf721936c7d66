package libcontainer

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/placement"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A lockMode is what a view of a container is for.
type lockMode int

const (
	unlocked  lockMode = iota // to look at what may have changed in the next moment
	exclusive                 // to change it
)

// A view is a container's state directory and record. It is open until close.
type view struct {
	dir        *state.Dir
	rec        *state.Record
	incomplete bool // the record is missing: create was killed before it made anything else
}

// with calls do with a view of the container, and its status. It does not lock a container that is
// being created.
func (c *Container) with(mode lockMode, do func(*view, specs.ContainerState) error) error {
	v, err := c.view(mode)
	if err != nil {
		return err
	}
	defer v.close()
	status, err := v.status()
	if err == nil {
		err = do(v, status)
	}
	return c.wrap(err)
}

// view opens the container's state.
func (c *Container) view(mode lockMode) (_ *view, err error) {
	d, err := state.Open(c.runtime.Root).Open(c.id)
	if err != nil {
		return nil, c.wrap(err)
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if mode == exclusive {
		if err := lockUnlessCreating(d); err != nil {
			return nil, c.wrap(err)
		}
	}
	v := &view{dir: d}
	if err := v.read(); err != nil {
		return nil, c.wrap(err)
	}
	return v, nil
}

// read reads the container's record.
func (v *view) read() error {
	rec, err := v.dir.Read()
	v.incomplete = errors.Is(err, state.ErrNoRecord)
	if v.incomplete {
		rec, err = &state.Record{ID: v.dir.ID()}, nil
	}
	v.rec = rec
	return err
}

// lockUnlessCreating waits for the container's lock, but not for its creator.
func lockUnlessCreating(d *state.Dir) error {
	locked, err := d.TryLock()
	if err != nil || locked {
		return err
	}
	creating, err := d.Creating()
	if err != nil || creating {
		return err
	}
	return d.Lock(lockLimit)
}

func (v *view) close() { v.dir.Close() }

func (v *view) placement() placement.Placement { return placement.Load(v.rec, v.dir) }

// pidfd opens the container's first process. The error is ErrNotRunning when it has ended.
func (v *view) pidfd() (*os.File, error) {
	if v.rec.Pid == 0 {
		return nil, ErrNotRunning
	}
	f, err := sys.Pidfd(v.rec.Pid, v.rec.StartTime)
	if errors.Is(err, sys.ErrNoProcess) {
		return nil, ErrNotRunning
	}
	return f, err
}

// status asks the kernel how the container is now. Whether it runs, waits for its start or has
// ended is not recorded, since that changes without the runtime.
func (v *view) status() (specs.ContainerState, error) {
	creating, err := v.dir.Creating()
	if err != nil {
		return "", err
	}
	if creating {
		return specs.StateCreating, nil
	}
	if v.incomplete || v.rec.Status == specs.StateCreating {
		return specs.StateStopped, nil // create was killed
	}
	alive, err := sys.Alive(v.rec.Pid, v.rec.StartTime)
	if err != nil {
		return "", err
	}
	if !alive {
		return specs.StateStopped, nil
	}
	waiter, err := v.dir.Probe()
	if err != nil {
		return "", err
	}
	frozen, err := v.placement().Frozen()
	switch {
	case err != nil:
		return "", err
	case frozen:
		return StatusPaused, nil
	case waiter == state.WaiterHere:
		return specs.StateCreated, nil
	}
	return specs.StateRunning, nil
}

func (c *Container) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("container %q: %w", c.id, err)
}
