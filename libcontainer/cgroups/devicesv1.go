package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// deviceList is the state of a v1 devices cgroup (cgroup-v1/devices.rst): a default, and a list of exceptions that the kernel looks up
// by the very same device: it does not take /dev/null out of "c *:* rwm", and says nothing. So the list is worked out here; what it cannot express
// is an error, and what cancels out is not written.
type deviceList struct {
	allow      bool // the default
	exceptions []deviceRule
}

// newDeviceList gives the list that rules come to.
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
		// The kernel ignores all that follows an "a" and would take this for everything.
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

// remove takes operations out of the exceptions: out of those for the same device and for ones within r.
func (l *deviceList) remove(r deviceRule) error {
	kept := l.exceptions[:0:0]
	for _, e := range l.exceptions {
		switch {
		case r.covers(e.device):
			e.access &^= r.access
		case e.overlaps(r.device) && e.access&r.access != 0:
			return errors.New("cgroup v1 cannot take a device out of the wider rule " + e.device.String() + " " + e.access.String() + " before it")
		}
		if e.access != 0 {
			kept = append(kept, e)
		}
	}
	l.exceptions = kept
	return nil
}

// access gives what is excepted for the device.
func (l *deviceList) access(d device) access {
	for i := range l.exceptions {
		if l.exceptions[i].device == d {
			return l.exceptions[i].access
		}
	}
	return 0
}

// fill gives what is to be written to bring about the list, whatever was there before. Between the first write and the last, devices that are excepted
// in the end are not.
func (l *deviceList) fill() []setting {
	base, exceptions := "devices.deny", "devices.allow"
	if l.allow {
		base, exceptions = exceptions, base
	}
	s := make([]setting, 0, 1+len(l.exceptions))
	s = append(s, setting{controller: "devices", file: base, value: "a", field: devicesField})
	for i := range l.exceptions {
		s = append(s, deviceSetting(exceptions, &l.exceptions[i], l.exceptions[i].access))
	}
	return s
}

// change gives what is to be written to get from one list to another where both deny all but exceptions: what either allows
// is allowed meanwhile, and no device is missing that both allow.
func (l *deviceList) change(now deviceList) []setting {
	var s []setting
	for i := range l.exceptions {
		e := &l.exceptions[i]
		if more := e.access &^ now.access(e.device); more != 0 {
			s = append(s, deviceSetting("devices.allow", e, more))
		}
	}
	for i := range now.exceptions {
		e := &now.exceptions[i]
		if less := e.access &^ l.access(e.device); less != 0 {
			s = append(s, deviceSetting("devices.deny", e, less))
		}
	}
	return s
}

func deviceSetting(file string, r *deviceRule, a access) setting {
	return setting{controller: "devices", file: file, value: r.device.String() + " " + a.String(), field: r.field}
}

// parseDeviceList reads devices.list. A cgroup that allows by default shows "a *:* rwm", and not what it excepts.
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

// writeDevicesV1 brings about the list in a cgroup whose processes use devices meanwhile.
func (m *Manager) writeDevicesV1(f *folder, list deviceList) error {
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
	// The default changes, or unknown exceptions from it do: everything is allowed or forbidden for a moment, also within one
	// write, for which the kernel clears the exceptions before it turns the default. Nobody is to see it.
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
