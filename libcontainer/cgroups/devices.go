package cgroups

import (
	"errors"
	"fmt"
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// access is a set of device operations, in the kernel's bits (BPF_DEVCG_ACC_*).
type access uint32

const (
	mayMknod access = 1 << iota
	mayRead
	mayWrite
	mayAll = mayMknod | mayRead | mayWrite
)

func (a access) String() string {
	var b []byte
	for _, x := range [...]struct {
		bit  access
		char byte
	}{{mayRead, 'r'}, {mayWrite, 'w'}, {mayMknod, 'm'}} {
		if a&x.bit != 0 {
			b = append(b, x.char)
		}
	}
	return string(b)
}

// anyNumber stands for every major or minor number.
const anyNumber = -1

// device is what a rule is about.
type device struct {
	kind         byte // 'c', 'b', or 'a' for both
	major, minor int64
}

func (d device) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return itoa(n)
	}
	return string(d.kind) + " " + number(d.major) + ":" + number(d.minor)
}

type deviceRule struct {
	allow bool
	device
	access access
	field  string // "linux.resources.devices[3]"
}

// everything reports whether the rule decides about every operation on every device, so that none before it counts.
func (r *deviceRule) everything() bool {
	return r.device == device{'a', anyNumber, anyNumber} && r.access == mayAll
}

// deviceRules gives the rules in force: first everything is denied, then come the configured rules, and then the devices
// that each container has (config-linux.md, "Default Devices"). The last one that matches decides. An
// empty list therefore denies all but the default devices.
func deviceRules(r *specs.LinuxResources) ([]deviceRule, error) {
	var configured []specs.LinuxDeviceCgroup
	if r != nil {
		configured = r.Devices
	}
	defaults := defaultDevices()
	rules := make([]deviceRule, 0, 1+len(configured)+len(defaults))
	rules = append(rules, deviceRule{device: device{'a', anyNumber, anyNumber}, access: mayAll, field: "linux.resources.devices"})
	for i := range configured {
		rule, err := parseRule(&configured[i])
		rule.field = "linux.resources.devices[" + itoa(int64(i)) + "]"
		if err != nil {
			return nil, fmt.Errorf("%s%w", rule.field, err)
		}
		if rule.everything() {
			rules = rules[:0]
		}
		rules = append(rules, rule)
	}
	for _, d := range defaults {
		rules = append(rules, deviceRule{allow: true, device: d.device, access: d.access, field: "linux.resources.devices (default devices)"})
	}
	return rules, nil
}

type defaultDevice struct {
	device
	access access
}

// defaultDevices is the list of current runc and crun: making any node, and using the nodes that every container has.
func defaultDevices() [10]defaultDevice {
	return [...]defaultDevice{
		{device{'c', anyNumber, anyNumber}, mayMknod},
		{device{'b', anyNumber, anyNumber}, mayMknod},
		{device{'c', 1, 3}, mayAll},           // null
		{device{'c', 1, 5}, mayAll},           // zero
		{device{'c', 1, 7}, mayAll},           // full
		{device{'c', 1, 8}, mayAll},           // random
		{device{'c', 1, 9}, mayAll},           // urandom
		{device{'c', 5, 0}, mayAll},           // tty
		{device{'c', 5, 2}, mayAll},           // ptmx
		{device{'c', 136, anyNumber}, mayAll}, // pts/*
	}
}

func parseRule(r *specs.LinuxDeviceCgroup) (deviceRule, error) {
	rule := deviceRule{allow: r.Allow, device: device{'a', anyNumber, anyNumber}, access: mayAll}
	switch r.Type {
	case "", "a":
	case "b", "c":
		rule.kind = r.Type[0]
	case "u": // an unbuffered character device is a character device
		rule.kind = 'c'
	default:
		return rule, fmt.Errorf(".type: %q: must be a, b or c", r.Type)
	}
	for _, n := range [...]struct {
		from *int64
		to   *int64
		name string
	}{{r.Major, &rule.major, "major"}, {r.Minor, &rule.minor, "minor"}} {
		if n.from == nil {
			continue
		}
		if *n.from < anyNumber || *n.from > math.MaxInt32 {
			return rule, fmt.Errorf(".%s: %d: must be -1 for all, or 0 to %d", n.name, *n.from, math.MaxInt32)
		}
		*n.to = *n.from
	}
	if r.Access != "" {
		rule.access = 0
	}
	for _, c := range r.Access {
		switch c {
		case 'r':
			rule.access |= mayRead
		case 'w':
			rule.access |= mayWrite
		case 'm':
			rule.access |= mayMknod
		default:
			return rule, fmt.Errorf(".access: %q: must be of the letters r, w and m", r.Access)
		}
	}
	return rule, nil
}

// devicesV1 turns rules into writes into devices.deny and devices.allow (cgroup-v1/devices.rst). The kernel keeps a default, and a
// list of exceptions that it looks up by the very same device: it does not take /dev/null out of "c *:* rwm", and says nothing. So the
// list is worked out here first; what it cannot express is an error, and what cancels out is not written.
func devicesV1(rules []deviceRule) ([]setting, error) {
	list := deviceList{}
	for _, r := range rules {
		if err := list.apply(r); err != nil {
			return nil, &ResourceError{Field: r.field, Controller: "devices", Value: r.device.String() + " " + r.access.String(), Err: err}
		}
	}
	base, exceptions := "devices.deny", "devices.allow"
	if list.allow {
		base, exceptions = exceptions, base
	}
	s := make([]setting, 0, 1+len(list.exceptions))
	s = append(s, setting{"devices", base, "a", "linux.resources.devices", false})
	for _, e := range list.exceptions {
		s = append(s, setting{"devices", exceptions, e.device.String() + " " + e.access.String(), e.field, false})
	}
	return s, nil
}

// deviceList is the state of a v1 devices cgroup.
type deviceList struct {
	allow      bool // the default
	exceptions []deviceRule
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

// covers reports whether every device of other is one of d.
func (d device) covers(other device) bool {
	return (d.kind == 'a' || d.kind == other.kind) &&
		(d.major == anyNumber || d.major == other.major) &&
		(d.minor == anyNumber || d.minor == other.minor)
}

// overlaps reports whether there are devices that both name, as "c 1:*" and "c *:3" do; both name one kind.
func (d device) overlaps(other device) bool {
	return d.kind == other.kind &&
		(d.major == anyNumber || other.major == anyNumber || d.major == other.major) &&
		(d.minor == anyNumber || other.minor == anyNumber || d.minor == other.minor)
}

// deviceSettings gives what is to be written for the rules: nothing where they are not enforced through files.
func (m *Manager) deviceSettings(rules []deviceRule) ([]setting, error) {
	f, v := m.place("devices")
	if f == nil && !denies(rules) || v == v2 {
		return nil, nil
	}
	// Where nothing can enforce the rules this ends as an error: a container whose devices nobody guards has the host's disks.
	return devicesV1(rules)
}

// attachDeviceRules enforces the rules on cgroup2.
func (m *Manager) attachDeviceRules(rules []deviceRule) error {
	f, v := m.place("devices")
	if v != v2 || !denies(rules) && !m.reused {
		return nil
	}
	if err := attachDevices(f.dir, deviceProgram(rules)); err != nil {
		return &ResourceError{Field: "linux.resources.devices", Controller: "devices", Err: err}
	}
	return nil
}

// denies reports whether any rule forbids anything.
func denies(rules []deviceRule) bool {
	for i := range rules {
		if !rules[i].allow {
			return true
		}
	}
	return false
}
