package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A command is one of the program's, or the program itself: its flags stand before the name of the command that is called.
//
// Commands are read straight from these tables at each start. A library does more than is needed here, and is charged to every call: see
// docs/architecture.md.
type command struct {
	name        string
	usage       string // in a few words
	argsUsage   string // the operands; two blanks around a bar separate forms of the call
	description string // paragraphs, of a line each
	flags       []flag // but --help, which all have
	// othersFlags says that what follows the first operand is another program's, also what looks like a flag.
	othersFlags bool
	action      action
}

// An action is what a command does.
type action func(*arguments) error

// A flag is one that a command takes.
type flag struct {
	kind      kind
	name      string
	short     string   // one letter in place of the name; "" for none
	usage     string   // what it is for, with the name of its value in backquotes
	initial   string   // the value where the flag is not given; of a switch it is false
	words     []string // what a choice is among
	keepSpace bool     // blanks around a value of a list belong to it
}

// A kind of flags is what their values are.
type kind uint8

const (
	kindBool     kind = iota // a switch: --x, or --x=false
	kindString               // anything
	kindChoice               // one of a few words: see choice
	kindInt                  // decimal, or with Go's 0x, 0o and 0b
	kindDuration             // such as 1m30s
	kindStrings              // a list, with one value from each time that the flag is given
)

// helpFlag is the flag that all commands have.
func helpFlag() *flag {
	return &flag{kind: kindBool, name: "help", short: "h", usage: "show help"}
}

// flag returns the flag of this name, long or short, nil if the command has none.
func (c *command) flag(name string) *flag {
	for i := range c.flags {
		if f := &c.flags[i]; f.named(name) {
			return f
		}
	}
	if f := helpFlag(); f.named(name) {
		return f
	}
	return nil
}

func (f *flag) named(name string) bool {
	return name == f.name || name == f.short && name != ""
}

// names returns the flag's names as they are typed.
func (f *flag) names() []string {
	if f.short == "" {
		return []string{"--" + f.name}
	}
	return []string{"--" + f.name, "-" + f.short}
}

// takesValue reports whether a value must follow the flag.
func (f *flag) takesValue() bool { return f.kind != kindBool }

// valueName returns the name that the flag's help has for its value.
func (f *flag) valueName() string {
	_, value, _ := strings.Cut(f.usage, "`")
	value, _, _ = strings.Cut(value, "`")
	return value
}

// about returns what the flag is for, and the words that it takes if these are all.
func (f *flag) about() string {
	if f.words == nil {
		return f.usage
	}
	return f.usage + ": " + alternatives(f.words)
}

// check returns what is wrong with a value, in package flag's words, which are known from all programs in Go.
func (f *flag) check(value string) (err error) {
	switch f.kind {
	case kindBool:
		_, err = strconv.ParseBool(value)
	case kindInt:
		_, err = strconv.ParseInt(value, 0, strconv.IntSize)
	case kindDuration:
		_, err = time.ParseDuration(value)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errors.New("value out of range")
	}
	return errors.New("parse error")
}

// usagef returns an error that says which command was wrongly called.
func (c *command) usagef(format string, args ...any) error {
	if c.name == name {
		return usagef(format, args...)
	}
	return usagef("%s: %s", c.name, fmt.Sprintf(format, args...))
}
