package setup

import (
	"fmt"
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// clocksFile accepts clock offsets of a time namespace until the first process enters it
// (time_namespaces(7)).
const clocksFile = "/proc/self/timens_offsets"

// openClocks opens the file while the process still has the runtime's IDs, because the host's root
// owns it.
type openClocks struct{}

func (openClocks) kind() kind { return kind{phaseJoin, "open", "open " + clocksFile} }

func (openClocks) lower(l *lowering) {
	l.clocks = l.keep()
	l.hostOpen(clocksFile, unix.O_WRONLY).Result(l.clocks)
}

// setClocks sets the offsets of the new time namespace.
type setClocks struct {
	Offsets map[string]specs.LinuxTimeOffset
}

func (setClocks) kind() kind { return kind{phaseJoin, "set", ""} }

func (s setClocks) String() string {
	text := "set the clocks of the time namespace:"
	for _, c := range s.clocks() {
		text += fmt.Sprintf(" %s %+ds%dns", c, s.Offsets[c].Secs, s.Offsets[c].Nanosecs)
	}
	return text
}

func (s setClocks) clocks() []string { return slices.Sorted(maps.Keys(s.Offsets)) }

func (s setClocks) lower(l *lowering) {
	text := ""
	for _, c := range s.clocks() {
		text += fmt.Sprintf("%s %d %d\n", c, s.Offsets[c].Secs, s.Offsets[c].Nanosecs)
	}
	l.write(l.clocks, text)
	l.call(unix.SYS_CLOSE, l.clocks)
}
