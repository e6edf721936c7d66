package cgroups

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

const devicesField = "linux.resources.devices"

// access is a set of device operations, in the kernel's bits (BPF_DEVCG_ACC_*).
type access uint32

const (
	mayMknod access = 1 << iota
	mayRead
	mayWrite
	mayAll = mayMknod | mayRead | mayWrite
)

// accessOf returns the operation of a letter, 0 if it has none.
func accessOf(letter rune) access {
	if i := strings.IndexRune("mrw", letter); i >= 0 {
		return mayMknod << i
	}
	return 0
}

func (a access) String() string {
	text := ""
	for _, letter := range "rwm" {
		if a&accessOf(letter) != 0 {
			text += string(letter)
		}
	}
	return text
}

// anyNumber matches every major or minor number.
const anyNumber = -1

// device is the device, or the devices, of a rule.
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

// everything reports whether the rule decides about every operation on every device, which
// overrides all rules before it.
func (r *deviceRule) everything() bool {
	return r.device == device{'a', anyNumber, anyNumber} && r.access == mayAll
}

// deviceRules returns the effective rules: first everything is denied, then come the configured
// rules, and then the devices of every container (config-linux.md, "Default Devices"). The last
// match decides. An empty list therefore denies all but the default devices.
func deviceRules(r *specs.LinuxResources) ([]deviceRule, error) {
	var configured []specs.LinuxDeviceCgroup
	if r != nil {
		configured = r.Devices
	}
	rules := []deviceRule{{device: device{'a', anyNumber, anyNumber}, access: mayAll, field: devicesField}}
	for i := range configured {
		rule, err := parseRule(jsonpath.Index(devicesField, i), &configured[i])
		if err != nil {
			return nil, err
		}
		if rule.everything() {
			rules = rules[:0]
		}
		rules = append(rules, rule)
	}
	return append(rules, defaultDevices()...), nil
}

// defaultDevices is the list of current runc and crun: any node may be made, and the nodes that
// every container has may be used. It includes tun, although no container gets its node: VPN
// programs make that themselves, and using it needs CAP_NET_ADMIN in the network namespace anyway.
func defaultDevices() []deviceRule {
	allow := func(kind byte, major, minor int64, a access) deviceRule {
		return deviceRule{allow: true, device: device{kind, major, minor}, access: a, field: devicesField + " (default devices)"}
	}
	return []deviceRule{
		allow('c', anyNumber, anyNumber, mayMknod),
		allow('b', anyNumber, anyNumber, mayMknod),
		allow('c', 1, 3, mayAll),           // null
		allow('c', 1, 5, mayAll),           // zero
		allow('c', 1, 7, mayAll),           // full
		allow('c', 1, 8, mayAll),           // random
		allow('c', 1, 9, mayAll),           // urandom
		allow('c', 5, 0, mayAll),           // tty
		allow('c', 5, 2, mayAll),           // ptmx
		allow('c', 136, anyNumber, mayAll), // pts/*
		allow('c', 10, 200, mayAll),        // net/tun
	}
}

// parseRule parses the rule at a field.
func parseRule(field string, r *specs.LinuxDeviceCgroup) (deviceRule, error) {
	rule := deviceRule{field: field, allow: r.Allow, device: device{'a', anyNumber, anyNumber}, access: mayAll}
	switch r.Type {
	case "", "a":
	case "b", "c":
		rule.kind = r.Type[0]
	case "u": // an unbuffered character device is a character device
		rule.kind = 'c'
	default:
		return rule, specconv.Invalid(field+".type", fmt.Sprintf("%q: must be a, b or c", r.Type))
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
			return rule, specconv.Invalid(field+"."+n.name, fmt.Sprintf("%d: must be -1 for all, or 0 to %d", *n.from, math.MaxInt32))
		}
		*n.to = *n.from
	}
	if r.Access == "" {
		return rule, nil
	}
	var err error
	if rule.access, err = parseAccess(r.Access); err != nil {
		return rule, specconv.Invalid(field+".access", err.Error())
	}
	return rule, nil
}

func parseAccess(letters string) (access, error) {
	var a access
	for _, letter := range letters {
		if accessOf(letter) == 0 {
			return 0, fmt.Errorf("%q: must be of the letters r, w and m", letters)
		}
		a |= accessOf(letter)
	}
	return a, nil
}

// covers reports whether every device of other is one of d.
func (d device) covers(other device) bool {
	return (d.kind == 'a' || d.kind == other.kind) &&
		(d.major == anyNumber || d.major == other.major) &&
		(d.minor == anyNumber || d.minor == other.minor)
}

// overlaps reports whether some device matches both, as with "c 1:*" and "c *:3". Both have one
// kind.
func (d device) overlaps(other device) bool {
	return d.kind == other.kind &&
		(d.major == anyNumber || other.major == anyNumber || d.major == other.major) &&
		(d.minor == anyNumber || other.minor == anyNumber || d.minor == other.minor)
}

// denies reports whether any rule forbids anything.
func denies(rules []deviceRule) bool {
	return slices.ContainsFunc(rules, func(r deviceRule) bool { return !r.allow })
}

// setDevices enforces the rules. Without rules everything stays as it is.
func (m *Manager) setDevices(l *limits) error {
	f, v := m.controllerDirectory("devices")
	switch {
	case l.rules == nil || f == nil:
		return nil
	case v == v1 && l.live:
		return m.writeDevicesV1(f, l.devices)
	case v == v1:
		return m.write(l.devices.fill())
	case !l.live && !denies(l.rules):
		return nil
	}
	err := attachDevices(f.dir, deviceProgram(l.rules))
	if errors.Is(err, unix.EPERM) && inUserNamespace() {
		// Attaching programs needs capabilities in the initial user namespace. A caller without
		// them cannot give the container a device that it may not open itself, and the kernel does
		// not let it make nodes.
		return nil
	}
	if err != nil {
		return resourceError(devicesField, ResourceError{Controller: "devices", Err: err})
	}
	return nil
}

// inUserNamespace reports whether the runtime is in a user namespace that is not the initial one
// (user_namespaces(7)), or not root.
func inUserNamespace() bool {
	if unix.Geteuid() != 0 {
		return true
	}
	text, err := readFile("/proc/self/uid_map")
	return err == nil && !slices.Equal(strings.Fields(text), []string{"0", "0", "4294967295"})
}
