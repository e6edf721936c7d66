package setup

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// clocksFile accepts clock offsets of a time namespace until the first process enters it
// (time_namespaces(7)).
const clocksFile = "/proc/self/timens_offsets"

// openClocks opens the file while the process still has the runtime's IDs, because the host's root
// owns it.
type openClocks struct{}

func (openClocks) Verb() string        { return "open" }
func (openClocks) String() string      { return "open " + clocksFile }
func (openClocks) Needs() []Descriptor { return nil }
func (openClocks) phase() phase        { return phaseJoin }

func (openClocks) lower(l *lowering) {
	l.clocks = l.keep()
	l.host(unix.SYS_OPENAT, clocksFile, nsenter.Int(unix.AT_FDCWD), l.str(clocksFile), nsenter.Int(unix.O_WRONLY|unix.O_CLOEXEC),
		nsenter.Int(0)).Result(l.clocks)
}

// setClocks sets the offsets of the new time namespace.
type setClocks struct {
	Offsets map[string]specs.LinuxTimeOffset
}

func (setClocks) Verb() string        { return "set" }
func (setClocks) Needs() []Descriptor { return nil }
func (setClocks) phase() phase        { return phaseJoin }

func (s setClocks) String() string {
	text := "set the clocks of the time namespace:"
	for _, c := range s.clocks() {
		text += fmt.Sprintf(" %s %+ds%dns", c, s.Offsets[c].Secs, s.Offsets[c].Nanosecs)
	}
	return text
}

func (s setClocks) clocks() []string {
	names := make([]string, 0, len(s.Offsets))
	for name := range s.Offsets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s setClocks) lower(l *lowering) {
	text := ""
	for _, c := range s.clocks() {
		text += fmt.Sprintf("%s %d %d\n", c, s.Offsets[c].Secs, s.Offsets[c].Nanosecs)
	}
	l.call(unix.SYS_WRITE, l.clocks, l.str(text), nsenter.Int(len(text)))
	l.call(unix.SYS_CLOSE, l.clocks)
}
