package systemd

import "slices"

// Property is one setting of a unit.
type Property struct {
	Name  string
	Value Value
	// Optional marks what is done otherwise, too: it is left out where systemd does not know it, or not this value.
	Optional bool
}

// Value is a value of D-Bus with its type.
type Value struct {
	Type string // signature: "s", "t", "a(ss)"
	data any    // bool; string; uint64 for all integers, in two's complement; float64; []Value for arrays and structures
}

// Flag gives a boolean value.
func Flag(b bool) Value { return Value{"b", b} }

// Text gives a string.
func Text(s string) Value { return Value{"s", s} }

// Number gives a 64 bit number: a limit, a size, a time in microseconds.
func Number(n uint64) Value { return Value{"t", n} }

// Pids gives a list of processes.
func Pids(pids ...int) Value {
	list := make([]Value, len(pids))
	for i, pid := range pids {
		list[i] = Value{"u", uint64(pid)}
	}
	return Value{"au", list}
}

// Bytes gives a string of bytes.
func Bytes(b []byte) Value {
	list := make([]Value, len(b))
	for i, c := range b {
		list[i] = Value{"y", uint64(c)}
	}
	return Value{"ay", list}
}

// put adds a property in place of an earlier one of its name.
func put(list []Property, p Property) []Property {
	list = slices.DeleteFunc(list, func(other Property) bool { return other.Name == p.Name })
	return append(list, p)
}
