package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/systemd"
	"github.com/orlop/orlop/specconv"
)

// A unit is the unit of systemd's that a new container's cgroup becomes. systemd starts a scope only with a process, and moves that into the
// scope's cgroup, for which it waits as anybody does who writes into cgroup.procs. Nobody waits for it here: the folder is made first and the process is
// born in it, as ever, and while it sets itself up systemd makes the unit of both.
//
//	runtime                          process           systemd
//	  |  connect, beside the planning
//	  |  make the unit's folder
//	  |  start ---------------------> born in it
//	  |  StartTransientUnit --------------------------> enables controllers, writes limits,
//	  |                               set-up            puts the process where it is
//	  |  <-------------------------------------------- JobRemoved
//	  |  limits, as files
//	  |  <--------------------------- hooks, or ready
//
// An ordinary user may only put a process into a cgroup of theirs that is in one already, which a session is not. Their systemd has the host's
// do it: then the process is started first, and waits until it has been moved. So it does where its cgroup is to be below the unit's, for
// systemd would take it from there; when the unit is there, the runtime moves it down.
type unit struct {
	systemd.Unit
	bus     systemd.Bus
	extra   []systemd.Property // from annotations
	unified bool               // the host has cgroup2 only

	conn   *systemd.Conn // when dialed
	dialed *outcome
	start  *outcome // nil until it has begun
}

// newUnit works out the unit for a container, and with dry nothing else: otherwise it begins to connect to systemd.
func newUnit(cgroupsPath, id string, annotations map[string]string, dry bool) (*unit, error) {
	u := &unit{bus: systemd.Mine()}
	var err error
	if u.Unit, err = systemd.ParsePath(cgroupsPath, id, u.bus); err != nil {
		return nil, specconv.Invalid("linux.cgroupsPath", err.Error())
	}
	if u.extra, err = systemd.AnnotationProperties(annotations); err != nil {
		return nil, err
	}
	if !dry {
		u.dialed = beside(func() (err error) {
			u.conn, err = systemd.Dial(u.bus)
			return err
		})
	}
	return u, nil
}

// moves reports whether systemd moves the process into the unit, which may not be born there.
func (u *unit) moves() bool { return u.bus == systemd.User }

// connected waits for the connection.
func (u *unit) connected() error { return u.dialed.wait() }

// cgroup gives the unit's cgroup as linux.cgroupsPath has it. Where a user's systemd has its own is asked for, but with dry.
func (u *unit) cgroup(dry bool) (string, error) {
	if u.bus == systemd.System {
		return u.Path(), nil
	}
	if dry {
		uid := strconv.Itoa(systemd.UserID())
		return "/user.slice/user-" + uid + ".slice/user@" + uid + ".service" + u.Path(), nil
	}
	if err := u.connected(); err != nil {
		return "", err
	}
	top, err := u.conn.ControlGroup()
	return top + u.Path(), err
}

// occupied is the error for a unit whose cgroup has processes already.
func (u *unit) occupied() error {
	return fmt.Errorf("systemd: start %s: %w (its cgroup has processes)", u.Name, systemd.ErrExist)
}

// begin has systemd make the unit, with a process that is in its cgroup.
func (u *unit) begin(pid int, description string, values []cgroups.Value) {
	limits := make([]systemd.Limit, len(values))
	for i, v := range values {
		limits[i] = systemd.Limit(v)
	}
	properties := append(systemd.BaseProperties(u.Unit, description, pid, u.unified), systemd.LimitProperties(limits)...)
	properties = systemd.Merge(properties, u.extra)
	u.start = beside(func() error {
		return systemd.Do(u.bus, u.conn, func(c *systemd.Conn, again bool) error {
			err := c.Start(u.Unit, properties)
			if !again || !errors.Is(err, systemd.ErrExist) {
				return err
			}
			if ours, lookErr := c.HasProcess(u.Name, pid); !ours || lookErr != nil {
				return errors.Join(err, lookErr)
			}
			return nil
		})
	})
}

// started waits until the unit is there.
func (u *unit) started() error { return u.start.wait() }

// end lets go of the connection.
func (u *unit) end() {
	if u.dialed != nil && u.dialed.wait() == nil {
		u.conn.Close()
		u.dialed = nil
	}
}

// undo gives what stops the unit, nil when it is not there. foreign: the unit that is there is another's.
func (u *unit) undo() (stop func() error, foreign bool) {
	if u.start == nil {
		return nil, false
	}
	switch err := u.started(); {
	case errors.Is(err, systemd.ErrExist):
		return nil, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		// It would not answer now either. When it gets to it, the unit has no process, and is not made or ends by itself.
		return nil, false
	}
	return func() error { return stopUnit(u.bus, u.Name) }, false
}

// stopUnit stops a unit over a connection of its own.
func stopUnit(bus systemd.Bus, name string) error {
	return systemd.Do(bus, nil, func(c *systemd.Conn, _ bool) error { return c.Stop(name) })
}

// stopUnit gives what stops the unit that the container's cgroup is, nil when it is none.
func (v *view) stopUnit(r *Runtime) func() error {
	if v.rec.Unit == "" || len(v.rec.FoundCgroups) > 0 { // a slice that was there is not the container's
		return nil
	}
	return func() error {
		// Without its processes a scope ends by itself, soon. That nobody can be told to see to it keeps no container from being deleted.
		if err := stopUnit(systemd.Bus(v.rec.UnitBus), v.rec.Unit); err != nil {
			r.warn(err.Error())
		}
		return nil
	}
}

// updateUnit has systemd keep to limits that were changed.
func (v *view) updateUnit(r *specs.LinuxResources) error {
	if v.rec.Unit == "" {
		return nil
	}
	values, err := v.cgroup().Values(r)
	if err != nil {
		return err
	}
	limits := make([]systemd.Limit, len(values))
	for i, value := range values {
		limits[i] = systemd.Limit(value)
	}
	properties := systemd.LimitProperties(limits)
	if len(properties) == 0 {
		return nil
	}
	return v.cgroup().PreserveLimits(func() error {
		return systemd.Do(systemd.Bus(v.rec.UnitBus), nil, func(c *systemd.Conn, _ bool) error { return c.Set(v.rec.Unit, properties) })
	})
}

// moves reports whether systemd is to move a process into the container's cgroup, see unit.
func (v *view) moves() bool { return v.rec.UnitBus == string(systemd.User) }

// attacher gives what has systemd move a process into the cgroup, which is the container's own or one of subs below it, or, where that
// takes none, to where the first process is.
func (v *view) attacher(cgroup *cgroups.Manager, subs []string) func(pid int) error {
	return func(pid int) error {
		conn, err := systemd.Dial(systemd.Bus(v.rec.UnitBus))
		if err != nil {
			return err
		}
		defer conn.Close()
		own := v.cgroup()
		if len(subs) == 0 && own.Divided() {
			if cgroup, err = own.Beside(v.rec.Pid); err != nil {
				return err
			}
		}
		sub := own.Below(cgroup)
		if subgroup := v.rec.Annotations[specconv.SystemdSubgroup]; subgroup != "" {
			sub = "/" + subgroup + sub
		}
		return conn.Attach(v.rec.Unit, sub, pid)
	}
}
