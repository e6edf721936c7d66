// Package systemd has systemd manage a container's cgroup as one of its units, usually a scope.
//
// A [Unit] is a name and a slice. A [Conn] is a connection to the manager that makes, changes and
// stops units; every call on it has a timeout. [Property] values are the unit's settings: those of
// every container's unit ([BaseProperties]), its limits ([LimitProperties]), and those from the
// configuration's annotations ([AnnotationProperties]).
//
// It uses godbus for D-Bus. The package of go-systemd for units, a layer above, opens two
// connections, subscribes to the signals of all units, and does not tell a caller that waits for a
// job that systemd went away.
package systemd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// Timeouts after which systemd counts as hung.
const (
	answerLimit = 25 * time.Second // as in systemd's own tools
	jobLimit    = 30 * time.Second // as in runc
)

// limits are the timeouts of a connection.
type limits struct {
	answer time.Duration // for the connection to be accepted, and for the answer to a call
	job    time.Duration // for the end of the job that a call has started
}

// ErrExist means that the unit already exists.
var ErrExist = errors.New("unit already exists")

// ErrClosed means that systemd, or the bus, has closed the connection. systemd does so when it
// re-executes itself.
var ErrClosed = errors.New("the connection was closed")

// ErrUnavailable means that systemd cannot be reached: it is not this host's init, or its sockets
// are missing.
var ErrUnavailable = errors.New("systemd is not available")

// The names of errors and objects.
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

// Do calls do with a connection: first or, if that is nil, a new one. If systemd goes away
// meanwhile, it calls do again with another connection as soon as systemd is back. Then again is
// set, because the first request may have been executed.
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
		time.Sleep(20 * time.Millisecond) // no event reports its return
	}
}

// redo calls do with a new connection.
func redo(b Bus, do func(c *Conn, again bool) error, again bool) error {
	c, err := Dial(b)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c, again)
}

// away reports whether an error means that systemd went away: it closed the connection, or the bus
// has noticed its exit.
func away(err error) bool {
	name, ok := strings.CutPrefix(refusal(err), "org.freedesktop.DBus.Error.")
	return errors.Is(err, ErrClosed) || ok && (name == "NoReply" || name == "ServiceUnknown" || name == "NameHasNoOwner" || strings.HasPrefix(name, "Spawn."))
}

// Start makes a unit and returns when it is active. A scope takes over the process of its PIDs
// property (see [BaseProperties]), which may already be in the unit's cgroup. Optional properties
// that this systemd refuses are left out. The error is ErrExist if a unit of this name is loaded.
func (c *Conn) Start(u Unit, properties []Property) error {
	properties = slices.Clone(properties)
	for {
		// Replaces pending jobs of the same unit, and has no auxiliary units.
		err := c.job("StartTransientUnit", u.Name, "replace", settingsOf(properties), []auxiliary{})
		if rest, dropped := withoutRefused(properties, err); dropped {
			properties = rest
			continue
		}
		if e, ok := errors.AsType[*Error](err); ok && e.Name == unitExists {
			err = fmt.Errorf("%w (%s)", ErrExist, e.Message)
		}
		return wrap("start", u.Name, err)
	}
}

// Stop stops a unit, which kills its remaining processes, and returns when it is gone. A missing
// unit is no error.
func (c *Conn) Stop(name string) error {
	err := c.job("StopUnit", name, "replace")
	if refusal(err) == noSuchUnit {
		return nil
	}
	return wrap("stop", name, err)
}

// Set changes properties of a unit until it stops, and returns when they are in force. Optional
// ones that this systemd refuses are left out. A missing unit is an error.
func (c *Conn) Set(name string, properties []Property) error {
	properties = slices.Clone(properties)
	for len(properties) > 0 {
		const whileItRuns = true
		_, err := c.call(managerInterface, "SetUnitProperties", name, whileItRuns, settingsOf(properties))
		if rest, dropped := withoutRefused(properties, err); dropped {
			properties = rest
			continue
		}
		if err == nil {
			// systemd writes to the cgroup after it has answered, and before it handles the next
			// message.
			_, err = c.call("org.freedesktop.DBus.Peer", "Ping")
		}
		return wrap("set properties of", name, err)
	}
	return nil
}

// HasProcess reports whether systemd considers a process part of the unit.
func (c *Conn) HasProcess(name string, pid int) (bool, error) {
	process, err := c.object("GetUnitByPID", uint32(pid))
	if err != nil {
		return false, fmt.Errorf("systemd: find the unit of process %d: %w", pid, err)
	}
	unit, err := c.object("GetUnit", name)
	return process == unit, wrap("look up", name, err)
}

// Attach moves a process into a unit's cgroup, or into the one below it that sub names, "/a".
func (c *Conn) Attach(name, sub string, pid int) error {
	_, err := c.call(managerInterface, "AttachProcessesToUnit", name, sub, []uint32{uint32(pid)})
	return wrap("attach a process to", name, err)
}

// ControlGroup returns the cgroup, relative to the root of its hierarchy, below which the manager
// has its units: "" for the host's.
func (c *Conn) ControlGroup() (string, error) {
	var property dbus.Variant
	call, err := c.call("org.freedesktop.DBus.Properties", "Get", managerInterface, "ControlGroup")
	if err == nil {
		err = call.Store(&property)
	}
	path, ok := property.Value().(string)
	if err == nil && !ok {
		err = fmt.Errorf("it is of type %q", property.Signature())
	}
	return strings.TrimSuffix(path, "/"), wrap("read ControlGroup of", "the manager", err)
}

// withoutRefused returns the properties without the optional one that an error names.
func withoutRefused(properties []Property, err error) (rest []Property, dropped bool) {
	switch refusal(err) {
	case readOnlyProperty, invalidArguments, notSupported:
	default:
		return properties, false
	}
	rest = slices.DeleteFunc(slices.Clone(properties), func(p Property) bool { return p.Optional && names(err.Error(), p.Name) })
	return rest, len(rest) < len(properties)
}

// names reports whether a message contains name as a word: StartupCPUWeight does not name
// CPUWeight.
func names(message, name string) bool {
	return slices.Contains(strings.FieldsFunc(message, func(r rune) bool { return !strings.ContainsRune(letters+digits, r) }), name)
}

func wrap(operation, unit string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("systemd: %s %s: %w", operation, unit, err)
}
