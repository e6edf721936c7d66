package placement

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/async"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/systemd"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

// unitCreation is the placement of a new container in a cgroup that becomes a systemd unit. systemd
// starts a scope only with a process, and moves the process into the scope's cgroup, which takes as
// long as any write to cgroup.procs. Nothing waits for that move here: the runtime creates the
// directory and starts the process in it, and systemd creates the unit while the process sets
// itself up.
//
//	runtime                          process           systemd
//	  |  connect, during planning
//	  |  create the unit's directory
//	  |  start ---------------------> starts in it
//	  |  StartTransientUnit --------------------------> enables controllers, writes limits,
//	  |                               setup             puts the process where it is
//	  |  <-------------------------------------------- JobRemoved
//	  |  limits, as files
//	  |  <--------------------------- hooks, or ready
//
// An ordinary user may move a process into a cgroup of their own only from another one of their
// own, and a session is none. Their systemd then asks the host's to move it: the process starts
// first, and waits until it has been moved. It also waits if its cgroup is below the unit's, from
// where systemd would move it back: once the unit exists, the runtime moves it down.
type unitCreation struct {
	cgroupCreation
	unitName
	top      *cgroups.Manager // the unit's own cgroup
	below    bool             // the process's cgroup is below the unit's
	complete bool             // Complete was called

	conn    *systemd.Conn // once connected
	connect func() error  // waits for the connection; nil if none is made
	started func() error  // waits for the unit; nil until it is requested
}

// A unitName is a unit and the systemd instance that manages it.
type unitName struct {
	systemd.Unit
	bus   systemd.Bus
	extra []systemd.Property // from annotations
}

func newUnit(b base) (Creation, error) {
	c := &unitCreation{cgroupCreation: cgroupCreation{base: b}, unitName: unitName{bus: systemd.CallersBus()}}
	var err error
	if c.Unit, err = systemd.ParsePath(c.linux().CgroupsPath, c.ID, c.bus); err != nil {
		return nil, specconv.Invalid("linux.cgroupsPath", err.Error())
	}
	if c.extra, err = systemd.AnnotationProperties(c.Bundle.Spec.Annotations); err != nil {
		return nil, err
	}
	if !c.Dry {
		c.connect = async.Go(func() (err error) {
			c.conn, err = systemd.Dial(c.bus)
			return err
		})
	}
	if err := c.planUnit(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *unitCreation) planUnit() error {
	cgroupsPath, err := c.cgroupPath()
	if err != nil {
		return err
	}
	if c.top, err = cgroups.New(c.layout, cgroupsPath, c.ID); err != nil {
		return err
	}
	cgroup, err := cgroups.New(c.layout, c.subgroup(cgroupsPath), c.ID)
	if err != nil {
		return err
	}
	c.cgroup = cgroup
	a := c.Bundle.Spec.Annotations
	c.below = a[specconv.SystemdSubgroup] != "" || a[specconv.DelegateCgroup] != ""
	if err := c.plan(&c.unitName, c.awaits()); err != nil {
		return err
	}
	if !c.awaits() && !c.Dry {
		c.found = c.cgroup.Find()
	}
	return nil
}

// cgroupPath returns the unit's cgroup in the form of linux.cgroupsPath. It asks a user's systemd
// for that instance's own cgroup.
func (c *unitCreation) cgroupPath() (string, error) {
	if c.bus == systemd.System {
		return c.Path(), nil
	}
	if c.Dry {
		uid := strconv.Itoa(systemd.UserID())
		return "/user.slice/user-" + uid + ".slice/user@" + uid + ".service" + c.Path(), nil
	}
	if err := c.connect(); err != nil {
		return "", err
	}
	top, err := c.conn.ControlGroup()
	return top + c.Path(), err
}

// awaits reports whether the process waits while it is moved into its cgroup.
func (c *unitCreation) awaits() bool { return c.bus == systemd.User || c.below }

// Check implements Creation: it checks that systemd can be reached and the limits are valid. It
// does not check the directory, which systemd could create.
func (c *unitCreation) Check() (faults []error) {
	conn, err := systemd.Dial(c.bus)
	if err != nil {
		faults = append(faults, &specconv.FieldError{Path: "linux.cgroupsPath", Err: fmt.Errorf("systemd cannot be asked for a unit: %w", err)})
	} else {
		conn.Close()
	}
	if _, err := c.cgroup.Values(c.resources()); err != nil {
		faults = append(faults, err)
	}
	return faults
}

// Record implements Creation.
func (c *unitCreation) Record(rec *state.Record, dir *state.Dir) {
	c.base.Record(rec, dir)
	rec.Unit, rec.UnitBus = c.Name, string(c.bus)
	if c.found { // a systemd slice may have existed
		rec.FoundCgroups = c.cgroup.Found()
	}
}

// Join implements Creation.
func (c *unitCreation) Join(o *setup.Options) []launch.Deferred {
	if o.AwaitCgroup = c.awaits(); o.AwaitCgroup {
		return nil
	}
	return c.cgroupCreation.Join(o)
}

// Begin implements Creation. Complete sets the limits.
func (c *unitCreation) Begin(f *forker.Forker) { c.making = f.Do(c.prepare) }

func (c *unitCreation) prepare() error {
	if err := c.connect(); err != nil {
		return err
	}
	if c.awaits() {
		_, err := c.cgroup.Values(c.resources()) // find invalid ones before anything is created
		if err == nil && c.top.Exists() {
			err = c.occupied()
		}
		return err
	}
	err := c.cgroup.Prepare(c.resources())
	if errors.Is(err, cgroups.ErrOccupied) {
		return fmt.Errorf("%w: %w", c.occupied(), err)
	}
	return inUse(err)
}

// occupied returns the error for a unit whose cgroup already has processes.
func (c *unitCreation) occupied() error {
	return fmt.Errorf("systemd: start %s: %w (its cgroup has processes)", c.Name, systemd.ErrExist)
}

// Start implements Creation.
func (c *unitCreation) Start(f *forker.Forker, p *launch.Process) error {
	nothing := func() {}
	if c.awaits() {
		return start(f, p, nothing, new(cgroups.Manager).Spawn)
	}
	err := start(f, p, nothing, func(fork func(cgroup int) error) error {
		if err := c.cgroup.Spawn(fork); err != nil {
			return err
		}
		return c.makeUnit(p.Pid())
	})
	if err != nil || p.ClonesLast() {
		return err
	}
	return c.Tighten()
}

// EnterCgroup implements Creation: systemd creates the unit with the waiting process, and the
// runtime moves it to the cgroup below.
func (c *unitCreation) EnterCgroup(pid int) error {
	if err := c.makeUnit(pid); err != nil {
		return err
	}
	if err := c.started(); err != nil || !c.below {
		return err
	}
	if err := c.holds(c.top, pid); err != nil {
		return err
	}
	return inUse(c.cgroup.Descend(c.top, pid))
}

// makeUnit asks systemd to create the unit with a process.
func (c *unitCreation) makeUnit(pid int) error {
	values, err := c.cgroup.Values(c.resources())
	if err != nil {
		return err
	}
	properties := systemd.BaseProperties(c.Unit, "orlop container "+c.ID, pid, c.layout.Mode == cgroups.Unified)
	properties = systemd.Merge(append(properties, limits(values)...), c.extra)
	c.started = async.Go(func() error {
		return systemd.Do(c.bus, c.conn, func(conn *systemd.Conn, again bool) error {
			err := conn.Start(c.Unit, properties)
			if !again || !errors.Is(err, systemd.ErrExist) {
				return err
			}
			if ours, lookErr := conn.HasProcess(c.Name, pid); !ours || lookErr != nil {
				return errors.Join(err, lookErr)
			}
			return nil
		})
	})
	return nil
}

// limits returns the properties for limits of a cgroup.
func limits(values []cgroups.Value) []systemd.Property {
	list := make([]systemd.Limit, len(values))
	for i, v := range values {
		list[i] = systemd.Limit(v)
	}
	return systemd.LimitProperties(list)
}

// holds returns an error if systemd has not put the process into a cgroup.
func (c *unitCreation) holds(cgroup *cgroups.Manager, pid int) error {
	there, err := cgroup.Holds(pid)
	if err == nil && !there {
		err = fmt.Errorf("systemd has put the process of %s elsewhere than into %s", c.Name, cgroup.HomePaths())
	}
	return err
}

// Complete implements Creation: it waits for the unit, and writes the limits.
func (c *unitCreation) Complete(pid int) error {
	if c.complete {
		return nil
	}
	c.complete = true
	if c.started != nil {
		if err := c.started(); err != nil {
			return err
		}
	}
	err := c.holds(c.cgroup, pid)
	if err == nil {
		err = c.cgroup.Enter(pid)
	}
	if err == nil {
		err = c.cgroup.Limit(c.resources())
	}
	c.delegate()
	return err
}

// BeforeProgram implements Creation.
func (c *unitCreation) BeforeProgram(rec *state.Record, _ func() error) []func() error {
	return []func() error{func() error { return c.Complete(rec.Pid) }}
}

// Charge implements Creation.
func (c *unitCreation) Charge(first int, fork func(cgroup int) (int, error)) (*os.File, error) {
	if c.bus != systemd.User {
		return c.base.Charge(first, fork)
	}
	pid, err := fork(-1)
	if err != nil {
		return nil, err
	}
	home, err := c.top.Beside(first)
	if err != nil {
		return nil, err
	}
	return nil, attach(c.bus, c.Name, c.top.Below(home), pid)
}

// Undo implements Creation.
func (c *unitCreation) Undo() error {
	c.awaitMaking()
	var stop func() error
	if c.started != nil {
		switch err := c.started(); {
		case errors.Is(err, systemd.ErrExist): // the unit belongs to another container
			return c.cgroup.Undo()
		case errors.Is(err, os.ErrDeadlineExceeded):
			// systemd would not answer now either. When it handles the request, the unit has no
			// process, and is not created or ends by itself.
		default:
			stop = func() error { return stopUnit(c.bus, c.Name) }
		}
	}
	return errors.Join(remove(c.cgroup, stop), c.cgroup.Undo())
}

// Close implements Creation.
func (c *unitCreation) Close() {
	c.base.Close()
	if c.connect != nil && c.connect() == nil {
		c.conn.Close()
		c.connect = nil
	}
}

// stopUnit stops a unit over a new connection.
func stopUnit(bus systemd.Bus, name string) error {
	return systemd.Do(bus, nil, func(c *systemd.Conn, _ bool) error { return c.Stop(name) })
}

// attach makes systemd move a process into a unit's cgroup, or into the one below that sub names.
func attach(bus systemd.Bus, name, sub string, pid int) error {
	return systemd.Do(bus, nil, func(c *systemd.Conn, _ bool) error { return c.Attach(name, sub, pid) })
}

// unit is the placement of a container in a cgroup that is a systemd unit.
type unit struct{ cgroupfs }

func (u *unit) bus() systemd.Bus { return systemd.Bus(u.rec.UnitBus) }

// moves reports whether systemd moves processes into the unit, because the runtime may not.
func (u *unit) moves() bool { return u.bus() == systemd.User }

// Update implements Placement. It also changes the limits in systemd, which would restore the old
// ones otherwise.
func (u *unit) Update(r *specs.LinuxResources, warn func(string)) error {
	if err := u.cgroup.Update(r); err != nil {
		return err
	}
	if err := u.setProperties(r); err != nil {
		warn(err.Error())
	}
	return nil
}

func (u *unit) setProperties(r *specs.LinuxResources) error {
	values, err := u.cgroup.Values(r)
	if err != nil {
		return err
	}
	properties := limits(values)
	if len(properties) == 0 {
		return nil
	}
	return u.cgroup.PreserveLimits(func() error {
		return systemd.Do(u.bus(), nil, func(c *systemd.Conn, _ bool) error { return c.Set(u.rec.Unit, properties) })
	})
}

// Remove implements Placement.
func (u *unit) Remove(warn func(string)) error {
	if len(u.rec.FoundCgroups) > 0 { // a slice that existed is not the container's
		return u.remove(nil, warn)
	}
	return u.remove(func() error {
		// Without its processes a scope soon ends by itself. A systemd that cannot be reached must
		// not prevent the deletion of a container.
		if err := stopUnit(u.bus(), u.rec.Unit); err != nil {
			warn(err.Error())
		}
		return nil
	}, warn)
}
