package systemd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/orlop/orlop/specconv"
)

// Property is one setting of a unit.
type Property struct {
	Name  string
	Value dbus.Variant
	// Optional marks a setting that is also made in another way. It is left out if systemd does not
	// support it, or not this value.
	Optional bool
}

// A setting is a Property as an argument of systemd's methods, and an auxiliary is an additional
// unit for StartTransientUnit.
type (
	setting struct {
		Name  string
		Value dbus.Variant
	}
	auxiliary struct {
		Name     string
		Settings []setting
	}
)

// settingsOf converts properties to arguments of systemd's methods.
func settingsOf(list []Property) []setting {
	settings := make([]setting, len(list))
	for i, p := range list {
		settings[i] = setting{p.Name, p.Value}
	}
	return settings
}

// BaseProperties are those of every container's unit; pid is its first process. unified is set for
// a host with cgroup2 only.
func BaseProperties(u Unit, description string, pid int, unified bool) []Property {
	list := []Property{
		{Name: "Description", Value: dbus.MakeVariant(description)},
		// Otherwise the unit would wait for basic.target, and shutdown.target would stop it before
		// other units that the container needs.
		{Name: "DefaultDependencies", Value: dbus.MakeVariant(false)},
		// Failed units are removed, too, because nobody would reset them. Since systemd 236.
		{Name: "CollectMode", Value: dbus.MakeVariant("inactive-or-failed"), Optional: true},
	}
	if !u.IsSlice() {
		list = append(list,
			Property{Name: "Slice", Value: dbus.MakeVariant(u.Slice)},
			// The runtime manages the cgroups below, and systemd leaves them alone
			// (systemd.resource-control(5)).
			Property{Name: "Delegate", Value: dbus.MakeVariant(true)},
			Property{Name: "PIDs", Value: dbus.MakeVariant([]uint32{uint32(pid)})},
		)
	}
	io := "IOAccounting"
	if !unified {
		io = "BlockIOAccounting"
	}
	for _, name := range [...]string{"CPUAccounting", "MemoryAccounting", "TasksAccounting", io} {
		list = append(list, Property{Name: name, Value: dbus.MakeVariant(true), Optional: true})
	}
	return list
}

// A Limit is a value for a control file of the cgroup.
type Limit struct{ File, Value string }

// LimitProperties returns the properties that correspond to limits, where they exist. They keep
// systemd from restoring its own values, for instance at `systemctl daemon-reload`, and show users
// the effective limits. The control files are written anyway, so each property is optional, and
// there is none for a value that is not understood here: the kernel reports what is wrong with it.
func LimitProperties(limits []Limit) []Property {
	var list []Property
	quota, period := "", ""
	for _, l := range limits {
		switch l.File {
		case "cpu.max":
			quota, period, _ = strings.Cut(l.Value, " ")
			continue
		case "cpu.cfs_quota_us":
			quota = l.Value
			continue
		case "cpu.cfs_period_us":
			period = l.Value
			continue
		}
		if p, ok := limitProperty(l); ok {
			list = Merge(list, []Property{p})
		}
	}
	return append(list, quotaProperties(quota, period)...)
}

// limitProperty returns the property for one file.
func limitProperty(l Limit) (p Property, ok bool) {
	for _, known := range [...]struct {
		file, name string
		read       func(string) (dbus.Variant, bool)
	}{
		{"memory.max", "MemoryMax", limitValue},
		{"memory.high", "MemoryHigh", limitValue},
		{"memory.low", "MemoryLow", limitValue},
		{"memory.min", "MemoryMin", limitValue},
		{"memory.swap.max", "MemorySwapMax", limitValue},
		{"memory.limit_in_bytes", "MemoryLimit", limitValue},
		{"pids.max", "TasksMax", tasksValue},
		{"cpu.weight", "CPUWeight", limitValue},
		{"cpu.idle", "CPUWeight", idleValue},
		{"cpu.shares", "CPUShares", limitValue},
		{"io.weight", "IOWeight", weightValue},
		{"io.bfq.weight", "IOWeight", weightValue},
		{"blkio.bfq.weight", "BlockIOWeight", weightValue},
		{"cpuset.cpus", "AllowedCPUs", setValue},
		{"cpuset.mems", "AllowedMemoryNodes", setValue},
	} {
		if known.file != l.File {
			continue
		}
		v, ok := known.read(strings.TrimSpace(l.Value))
		return Property{Name: known.name, Value: v, Optional: true}, ok
	}
	return Property{}, false
}

// limitValue parses a number, or "max" or -1, which is infinity.
func limitValue(s string) (dbus.Variant, bool) {
	if s == "max" || s == "-1" {
		return dbus.MakeVariant(uint64(math.MaxUint64)), true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return dbus.MakeVariant(n), err == nil
}

// tasksValue: systemd does not accept a limit of 0. With 1, no process can be forked either, since
// one exists.
func tasksValue(s string) (dbus.Variant, bool) {
	if s == "0" {
		s = "1"
	}
	return limitValue(s)
}

// idleValue: systemd calls a CPUWeight of 0 idle, since systemd 252. A cgroup that is not idle has
// its weight.
func idleValue(s string) (dbus.Variant, bool) { return dbus.MakeVariant(uint64(0)), s == "1" }

// weightValue parses "100" or "default 100". The weights of single devices have another form, and
// no property here.
func weightValue(s string) (dbus.Variant, bool) { return limitValue(strings.TrimPrefix(s, "default ")) }

// setValue converts a list of processors, "0-3,7", to a string of bytes with a bit for each, the
// first in the lowest bit of the first.
func setValue(s string) (dbus.Variant, bool) {
	var set []byte
	mask := specconv.RangeMask(s)
	for _, word := range mask {
		set = binary.LittleEndian.AppendUint64(set, word)
	}
	return dbus.MakeVariant(bytes.TrimRight(set, "\x00")), mask != nil
}

// quotaProperties returns the properties for a share of processor time, in microseconds of it per
// second. systemd keeps whole hundredths of a processor, so the share is rounded up to one.
func quotaProperties(quota, period string) []Property {
	const second, hundredth = 1_000_000, 10_000
	var list []Property
	length, err := strconv.ParseUint(period, 10, 32)
	if err != nil || length == 0 {
		length = 100_000 // the kernel's default
	} else {
		// Since systemd 242.
		list = append(list, Property{Name: "CPUQuotaPeriodUSec", Value: dbus.MakeVariant(length), Optional: true})
	}
	share := uint64(math.MaxUint64)
	if n, err := strconv.ParseUint(quota, 10, 48); err == nil && n > 0 {
		share = n * second / length
		share = (share + hundredth - 1) / hundredth * hundredth
	} else if quota == "" {
		return list
	}
	return append(list, Property{Name: "CPUQuotaPerSecUSec", Value: dbus.MakeVariant(share), Optional: true})
}

// AnnotationProperties returns the properties of the annotations "org.systemd.property.NAME",
// sorted by name. Their values are in GVariant's text form. NAME may end in Sec where systemd has
// USec: the value is then in seconds.
func AnnotationProperties(annotations map[string]string) ([]Property, error) {
	var list []Property
	for key, text := range annotations {
		name, ok := strings.CutPrefix(key, specconv.SystemdProperty)
		if !ok {
			continue
		}
		fail := func(err error) ([]Property, error) {
			return nil, specconv.Invalid(specconv.AnnotationPath(key), err.Error())
		}
		if !propertyName(name) {
			return fail(fmt.Errorf("%q is not a property name", name))
		}
		v, err := ParseValue(text)
		if err != nil {
			return fail(err)
		}
		if stem, ok := strings.CutSuffix(name, "Sec"); ok && stem != "" && 'a' <= stem[len(stem)-1] && stem[len(stem)-1] <= 'z' {
			name = stem + "USec"
			if v, err = microseconds(v); err != nil {
				return fail(err)
			}
		}
		list = append(list, Property{Name: name, Value: v})
	}
	slices.SortFunc(list, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// propertyName reports whether s can be the name of a property. systemd would close the connection
// for any other.
func propertyName(s string) bool {
	return len(s) >= 3 && strings.Trim(s, letters) == ""
}

// microseconds converts seconds to microseconds.
func microseconds(v dbus.Variant) (dbus.Variant, error) {
	const second = 1_000_000
	n := reflect.ValueOf(v.Value())
	switch {
	case n.CanFloat() && n.Float() >= 0 && n.Float() < math.MaxUint64/second:
		return dbus.MakeVariant(uint64(n.Float() * second)), nil
	case n.CanUint() && n.Uint() <= math.MaxUint64/second:
		return dbus.MakeVariant(n.Uint() * second), nil
	case n.CanInt() && n.Int() >= 0 && uint64(n.Int()) <= math.MaxUint64/second:
		return dbus.MakeVariant(uint64(n.Int()) * second), nil
	}
	return dbus.Variant{}, errors.New("it is not a number of seconds")
}

// Merge returns a list in which others replace those of the same name.
func Merge(list, others []Property) []Property {
	for _, p := range others {
		kept := slices.DeleteFunc(slices.Clone(list), func(q Property) bool { return q.Name == p.Name })
		list = append(kept, p)
	}
	return list
}
