package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// arguments are what a command is called with. The values of flags are asked for by the flags' names; to ask for a flag that the
// command does not have is a mistake of the program's, and ends it.
type arguments struct {
	command  *command
	settings []setting // as they stand on the command line
	operands []string
}

// A setting is a flag that is given, with a value that it takes.
type setting struct {
	flag  *flag
	value string
}

// set adds a flag.
func (a *arguments) set(f *flag, value string) error {
	if err := f.check(value); err != nil {
		if f.kind == kindBool {
			return a.command.usagef("invalid boolean value %q for -%s: %v", value, f.name, err)
		}
		return a.command.usagef("invalid value %q for flag -%s: %v", value, f.name, err)
	}
	if f.kind == kindStrings && !f.keepSpace {
		value = strings.TrimSpace(value)
	}
	a.settings = append(a.settings, setting{f, value})
	return nil
}

// IsSet reports whether a flag is given.
func (a *arguments) IsSet(name string) bool {
	return slices.ContainsFunc(a.settings, func(s setting) bool { return s.flag.name == name })
}

// String returns the value of a flag, or its initial one.
func (a *arguments) String(name string) string {
	for _, s := range slices.Backward(a.settings) {
		if s.flag.name == name {
			return s.value
		}
	}
	f := a.command.flag(name)
	if f == nil {
		panic(a.command.name + " has no flag --" + name)
	}
	return f.initial
}

// What the following ones convert was checked when it was set; an empty initial value is false or 0.

// Bool reports whether a switch is on.
func (a *arguments) Bool(name string) bool {
	on, _ := strconv.ParseBool(a.String(name))
	return on
}

// Int returns the value of a flag of kindInt.
func (a *arguments) Int(name string) int {
	n, _ := strconv.ParseInt(a.String(name), 0, strconv.IntSize)
	return int(n)
}

// Duration returns the value of a flag of kindDuration.
func (a *arguments) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(a.String(name))
	return d
}

// StringSlice returns the values of a flag of kindStrings.
func (a *arguments) StringSlice(name string) (list []string) {
	for _, s := range a.settings {
		if s.flag.name == name {
			list = append(list, s.value)
		}
	}
	return list
}

// Operands returns what is neither a flag nor the value of one.
func (a *arguments) Operands() []string { return a.operands }

// NArg returns the number of operands.
func (a *arguments) NArg() int { return len(a.operands) }

// Get returns the operand of this index, "" if there is none.
func (a *arguments) Get(i int) string {
	if i >= len(a.operands) {
		return ""
	}
	return a.operands[i]
}

// First returns the first operand, "" if there is none.
func (a *arguments) First() string { return a.Get(0) }

// Tail returns the operands behind the first one.
func (a *arguments) Tail() []string {
	if len(a.operands) == 0 {
		return nil
	}
	return a.operands[1:]
}

// Others returns the operands behind the first one for a program that they are passed to, without a "--" that sets them apart:
// "exec box -- ls -l".
func (a *arguments) Others() []string {
	others := a.Tail()
	if len(others) > 0 && others[0] == "--" {
		return others[1:]
	}
	return others
}
