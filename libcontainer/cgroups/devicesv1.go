package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// deviceList is the state of a v1 devices cgroup (cgroup-v1/devices.rst): a default, and a list of
// exceptions. The kernel only finds an exception by exactly the same device: it silently ignores a
// request to remove /dev/null from "c *:* rwm". So the list is computed here; what it cannot
// express is an error, and rules that cancel out are not written.
type deviceList struct {
	allow      bool // the default
	exceptions []deviceRule
}

// newDeviceList returns the list that the rules result in.
func newDeviceList(rules []deviceRule) (deviceList, error) {
	list := deviceList{}
	for _, r := range rules {
		if err := list.apply(r); err != nil {
			return list, resourceError(r.field, ResourceError{Controller: "devices", Value: r.device.String() + " " + r.access.String(), Err: err})
		}
	}
	return list, nil
}

func (l *deviceList) apply(r deviceRule) error {
	if r.everything() {
		l.allow, l.exceptions = r.allow, nil
		return nil
	}
	if r.kind == 'a' {
		// The kernel ignores everything after an "a" and would apply this to all devices.
		for _, kind := range [...]byte{'c', 'b'} {
			r.kind = kind
			if err := l.apply(r); err != nil {
				return err
			}
		}
		return nil
	}
	if r.allow == l.allow {
		return l.remove(r)
	}
	for i := range l.exceptions {
		if l.exceptions[i].device == r.device {
			l.exceptions[i].access |= r.access
			return nil
		}
	}
	l.exceptions = append(l.exceptions, r)
	return nil
}

// remove removes operations from the exceptions for the same device and for devices within r.
func (l *deviceList) remove(r deviceRule) error {
	kept := l.exceptions[:0:0]
	for _, e := range l.exceptions {
		switch {
		case r.covers(e.device):
			e.access &^= r.access
		case e.overlaps(r.device) && e.access&r.access != 0:
			return errors.New("cgroup v1 cannot except a device from the wider rule " + e.device.String() + " " + e.access.String() + " before it")
		}
		if e.access != 0 {
			kept = append(kept, e)
		}
	}
	l.exceptions = kept
	return nil
}

// access returns the excepted operations of the device.
func (l *deviceList) access(d device) access {
	for i := range l.exceptions {
		if l.exceptions[i].device == d {
			return l.exceptions[i].access
		}
	}
	return 0
}

// fill returns the writes that establish the list, whatever the state before. Between the first and
// the last write, devices that are excepted in the end are not.
func (l *deviceList) fill() []setting {
	base, exceptions := "devices.deny", "devices.allow"
	if l.allow {
		base, exceptions = exceptions, base
	}
	s := []setting{{controller: "devices", file: base, value: "a", field: devicesField}}
	return append(s, l.except(exceptions, &deviceList{})...)
}

// change returns the writes that lead from one list to another if both deny everything but
// exceptions. Meanwhile devices that either list allows may be allowed, and those that both allow
// are never missing.
func (l *deviceList) change(now deviceList) []setting {
	return append(l.except("devices.allow", &now), now.except("devices.deny", l)...)
}

// except returns writes to a file for the exceptions that another list does not have.
func (l *deviceList) except(file string, other *deviceList) (s []setting) {
	for i := range l.exceptions {
		e := &l.exceptions[i]
		if a := e.access &^ other.access(e.device); a != 0 {
			s = append(s, deviceSetting(file, e, a))
		}
	}
	return s
}

func deviceSetting(file string, r *deviceRule, a access) setting {
	return setting{controller: "devices", file: file, value: r.device.String() + " " + a.String(), field: r.field}
}

// parseDeviceList reads devices.list. A cgroup that allows by default shows "a *:* rwm", and not
// its exceptions.
func parseDeviceList(text string) (deviceList, error) {
	var list deviceList
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		r, err := parseListed(line)
		if err != nil {
			return list, fmt.Errorf("line %q: %w", line, err)
		}
		if r.kind == 'a' {
			list.allow = true
			continue
		}
		list.exceptions = append(list.exceptions, r)
	}
	return list, nil
}

// parseListed reads one line: "c 1:3 rwm", "c 136:* rw".
func parseListed(line string) (deviceRule, error) {
	r := deviceRule{allow: true, field: devicesField}
	kind, rest, _ := strings.Cut(line, " ")
	numbers, letters, ok := strings.Cut(rest, " ")
	major, minor, ok2 := strings.Cut(numbers, ":")
	if len(kind) != 1 || !strings.Contains("abc", kind) || !ok || !ok2 || letters == "" {
		return r, errors.New("must be a device and letters, such as c 1:3 rwm")
	}
	r.kind = kind[0]
	for _, n := range [...]struct {
		text string
		to   *int64
	}{{major, &r.major}, {minor, &r.minor}} {
		*n.to = anyNumber
		if n.text == "*" {
			continue
		}
		number, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil {
			return r, fmt.Errorf("number %q: must be * or from 0 to %d", n.text, uint32(1<<32-1))
		}
		*n.to = int64(number)
	}
	a, err := parseAccess(letters)
	r.access = a
	return r, err
}

// writeDevicesV1 establishes the list in a cgroup whose processes may use devices meanwhile.
func (m *Manager) writeDevicesV1(f *directory, list deviceList) error {
	text, err := readFile(f.dir + "/devices.list")
	if err != nil {
		return fmt.Errorf("read %s/devices.list: %w", f.dir, err)
	}
	now, err := parseDeviceList(text)
	if err != nil {
		return fmt.Errorf("parse %s/devices.list: %w", f.dir, err)
	}
	if !now.allow && !list.allow {
		return m.write(list.change(now))
	}
	writes := list.fill()
	if len(writes) == 1 && now.allow == list.allow {
		return m.write(writes)
	}
	// The default changes, or unknown exceptions from it do, so for a moment everything is allowed
	// or forbidden, even within one write: the kernel clears the exceptions before it changes the
	// default. No process may observe that.
	frozen, err := m.Frozen()
	if err != nil {
		return err
	}
	if !frozen {
		if err := m.Freeze(); err != nil && !errors.Is(err, errNoController) {
			return fmt.Errorf("change device rules: %w", err)
		} else if err == nil {
			defer m.Thaw()
		}
	}
	return m.write(writes)
}
