package libcontainer

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/resource"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A Container is one container of a Runtime. It holds no file descriptors and no lock, so there is
// nothing to close. Each method looks at the container anew.
type Container struct {
	runtime *Runtime
	id      string
	process *Process
	ready   *resource.Readiness // nil when it has no way to say that it is ready, or when somebody else started it
}

// ID returns the container's id.
func (c *Container) ID() string { return c.id }

// Process returns the container's first process if this Container came from Create or Run, which
// made it a child of the calling program, and nil otherwise.
func (c *Container) Process() *Process { return c.process }

// Load returns the container with this id. The error is ErrNotExist when there is none. A container
// whose create was killed exists as well: its status is stopped, and Delete removes what is left of
// it.
func (r *Runtime) Load(id string) (*Container, error) {
	d, err := state.Open(r.Root).Open(id)
	if err != nil {
		return nil, fmt.Errorf("container %q: %w", id, err)
	}
	d.Close()
	return &Container{runtime: r, id: id}, nil
}

// List returns all containers, sorted by id. Any of them may be gone when it is used.
func (r *Runtime) List() ([]*Container, error) {
	ids, err := state.Open(r.Root).List()
	if err != nil {
		return nil, err
	}
	list := make([]*Container, len(ids))
	for i, id := range ids {
		list[i] = &Container{runtime: r, id: id}
	}
	return list, nil
}

// Config returns the process section of the configuration that the container was created with;
// later edits of its config.json do not show. It is nil when the container was created without one.
func (c *Container) Config() (*specs.Process, error) {
	v, err := c.view(unlocked)
	if err != nil {
		return nil, err
	}
	defer v.close()
	creating, err := v.dir.Creating()
	switch {
	case err != nil:
		return nil, c.wrap(err)
	case creating:
		return nil, c.wrap(errCreating)
	case v.incomplete:
		return nil, c.wrap(ErrIncomplete)
	}
	return v.rec.Process, nil
}

// Pids returns the PIDs of all processes of the container in the caller's PID namespace, sorted.
// For a stopped container these are processes that have outlived the first one. It takes no lock
// and does not wait for a start or delete.
func (c *Container) Pids() ([]int, error) {
	v, err := c.view(unlocked)
	if err != nil {
		return nil, err
	}
	defer v.close()
	pids, err := v.placement().Processes()
	return pids, c.wrap(err)
}

// Pause freezes all processes of a running container, and returns when they are frozen.
func (c *Container) Pause() error {
	return c.freeze(specs.StateRunning, ErrNotRunning, (*cgroups.Manager).Freeze)
}

// Resume thaws the processes of a paused container.
func (c *Container) Resume() error {
	return c.freeze(StatusPaused, ErrNotPaused, (*cgroups.Manager).Thaw)
}

func (c *Container) freeze(from specs.ContainerState, otherwise error, do func(*cgroups.Manager) error) error {
	return c.with(exclusive, func(v *view, status specs.ContainerState) error {
		if status != from && !(from == specs.StateRunning && status == specs.StateCreated) {
			return otherwise
		}
		cgroup, err := v.placement().Cgroup()
		if err != nil {
			return err
		}
		return do(cgroup)
	})
}

// errCreating refuses an operation on a container that is still being created.
var errCreating = fmt.Errorf("%w: it is still being created", ErrNotRunning)

// signalPidfd signals a process; one that has ended already is ErrNotRunning.
func signalPidfd(f *os.File, sig unix.Signal) error {
	err := sys.SignalPidfd(f, sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("send %s: %w", unix.SignalName(sig), err)
	}
	return nil
}
