// Package systemd has systemd keep a container's cgroup as one of its units, a scope mostly.
//
// A [Unit] is a name and its place in systemd's tree. A [Conn] is a connection to the manager that makes, changes and stops
// units; every call on it ends within a limit. [Property] values are the unit's settings: the ones that every container's unit has
// ([BaseProperties]), its limits ([LimitProperties]), and those that the configuration's annotations ask for ([AnnotationProperties]).
//
// It speaks D-Bus by godbus. The package of go-systemd for units, which lies above that, opens two connections, subscribes to the signals of
// all units, and does not tell who waits for a job that systemd went away.
package systemd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// How long systemd may take before it counts as hung.
const (
	answerLimit = 25 * time.Second // as for systemd's own tools
	jobLimit    = 30 * time.Second // as with runc
)

// limits are how long to wait.
type limits struct {
	answer time.Duration // for the connection to be accepted, and for the answer to a call
	job    time.Duration // for the end of what a call has begun
}

// ErrExist says that the unit is there already.
var ErrExist = errors.New("unit exists already")

// ErrClosed says that systemd, or the bus, has ended the connection: so it does when it executes itself anew.
var ErrClosed = errors.New("the connection was closed")

// ErrUnavailable says that no systemd is to be reached: it is not this host's init, or its sockets are not there.
var ErrUnavailable = errors.New("systemd is not available")

// The names of the errors and objects that are spoken of.
const (
	managerName      = "org.freedesktop.systemd1"
	managerPath      = "/org/freedesktop/systemd1"
	managerInterface = managerName + ".Manager"
	noSuchUnit       = managerName + ".NoSuchUnit"
	unitExists       = managerName + ".UnitExists"
	readOnlyProperty = "org.freedesktop.DBus.Error.PropertyReadOnly"
	invalidArguments = "org.freedesktop.DBus.Error.InvalidArgs"
	notSupported     = "org.freedesktop.DBus.Error.NotSupported"
)

// Do does something over a connection, which is first or, when that is nil, a new one. When systemd goes away meanwhile, it does it anew over another one
// as soon as it is back, and then again is set: what was asked for before may have been done.
func Do(b Bus, first *Conn, do func(c *Conn, again bool) error) error {
	deadline := time.Now().Add(answerLimit)
	if first != nil {
		err := do(first, false)
		if !away(err) {
			return err
		}
	}
	for again := first != nil; ; again = true {
		err := redo(b, do, again)
		if !away(err) && !(again && errors.Is(err, ErrUnavailable)) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond) // nothing tells of its return
	}
}

// redo does something over a new connection.
func redo(b Bus, do func(c *Conn, again bool) error, again bool) error {
	c, err := Dial(b)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c, again)
}

// away reports whether an error says that systemd went away: it closed the connection, or the bus has seen it go.
func away(err error) bool {
	if errors.Is(err, ErrClosed) {
		return true
	}
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		return false
	}
	name, ok := strings.CutPrefix(e.Name, "org.freedesktop.DBus.Error.")
	return ok && (name == "NoReply" || name == "ServiceUnknown" || name == "NameHasNoOwner" || strings.HasPrefix(name, "Spawn."))
}

// Start makes a unit and returns when it is active. A scope takes over the process of its PIDs property (see [BaseProperties]), which may be in
// the unit's cgroup already. Optional properties that this systemd refuses are left out.
//
// errors.Is(err, ErrExist): a unit of this name is loaded.
func (c *Conn) Start(u Unit, properties []Property) error {
	properties = slices.Clone(properties)
	for {
		// In place of jobs that wait for the same unit, and without auxiliary units.
		err := c.job("StartTransientUnit", u.Name, "replace", wire(properties), []auxiliary{})
		if rest, dropped := withoutRefused(properties, err); dropped {
			properties = rest
			continue
		}
		if e := (*Error)(nil); errors.As(err, &e) && e.Name == unitExists {
			err = fmt.Errorf("%w (%s)", ErrExist, e.Message)
		}
		return wrap("start", u.Name, err)
	}
}

// Stop stops a unit, which ends the processes that it still has, and returns when it is gone. That there is none is no error.
func (c *Conn) Stop(name string) error {
	err := c.job("StopUnit", name, "replace")
	if e := (*Error)(nil); errors.As(err, &e) && e.Name == noSuchUnit {
		return nil
	}
	return wrap("stop", name, err)
}

// Set changes properties of a unit until it stops, and returns when they are in force. Optional ones that this systemd refuses are left out.
// That there is no such unit is an error.
func (c *Conn) Set(name string, properties []Property) error {
	properties = slices.Clone(properties)
	for len(properties) > 0 {
		const whileItRuns = true
		_, err := c.call(managerInterface, "SetUnitProperties", name, whileItRuns, wire(properties))
		if rest, dropped := withoutRefused(properties, err); dropped {
			properties = rest
			continue
		}
		if err == nil {
			// systemd writes into the cgroup after it has answered, and before it turns to the next message.
			_, err = c.call("org.freedesktop.DBus.Peer", "Ping")
		}
		return wrap("set properties of", name, err)
	}
	return nil
}

// HasProcess reports whether a process is in the unit, as systemd sees it.
func (c *Conn) HasProcess(name string, pid int) (bool, error) {
	process, err := c.object("GetUnitByPID", uint32(pid))
	if err != nil {
		return false, fmt.Errorf("systemd: find the unit of process %d: %w", pid, err)
	}
	unit, err := c.object("GetUnit", name)
	return process == unit, wrap("look up", name, err)
}

// Attach moves a process into a unit's cgroup, or the one below it that sub names, "/a".
func (c *Conn) Attach(name, sub string, pid int) error {
	_, err := c.call(managerInterface, "AttachProcessesToUnit", name, sub, []uint32{uint32(pid)})
	return wrap("attach a process to", name, err)
}

// ControlGroup returns the cgroup, from the root of its hierarchy, below which the manager has its units: "" for the whole host's.
func (c *Conn) ControlGroup() (string, error) {
	call, err := c.call("org.freedesktop.DBus.Properties", "Get", managerInterface, "ControlGroup")
	if err != nil {
		return "", fmt.Errorf("systemd: read ControlGroup of the manager: %w", err)
	}
	var property dbus.Variant
	if err := call.Store(&property); err != nil {
		return "", fmt.Errorf("systemd: read ControlGroup of the manager: %w", err)
	}
	path, ok := property.Value().(string)
	if !ok {
		return "", fmt.Errorf("systemd: read ControlGroup of the manager: it is of type %q", property.Signature())
	}
	return strings.TrimSuffix(path, "/"), nil
}

// withoutRefused returns the properties without the optional one that an error names.
func withoutRefused(properties []Property, err error) (rest []Property, dropped bool) {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Name != readOnlyProperty && e.Name != invalidArguments && e.Name != notSupported {
		return properties, false
	}
	rest = slices.DeleteFunc(slices.Clone(properties), func(p Property) bool { return p.Optional && names(e.Message, p.Name) })
	return rest, len(rest) < len(properties)
}

// names reports whether a message has name as a word: CPUWeight is not named by StartupCPUWeight.
func names(message, name string) bool {
	letter := func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' }
	return slices.Contains(strings.FieldsFunc(message, func(r rune) bool { return !letter(r) }), name)
}

func wrap(operation, unit string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("systemd: %s %s: %w", operation, unit, err)
}
