package setup

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// ownStreams gives standard streams to the process's user, who could otherwise not open them again as /dev/stdout or /proc/self/fd/1. The group
// stays as it is.
type ownStreams struct {
	Streams [3]bool
	UID     uint32
}

func (ownStreams) Verb() string        { return "give" }
func (ownStreams) Needs() []Descriptor { return nil }
func (ownStreams) phase() phase        { return phaseInside }

func (o ownStreams) String() string {
	var names []string
	for fd, name := range [...]string{"stdin", "stdout", "stderr"} {
		if o.Streams[fd] {
			names = append(names, name)
		}
	}
	return "give " + strings.Join(names, ", ") + " to user " + strconv.FormatUint(uint64(o.UID), 10)
}

// lower asks for what cannot always be had, for one by a user that the namespace does not map, on a read-only file system, or of a file of
// somebody else's: the process may well do without.
func (o ownStreams) lower(l *lowering) {
	for fd, other := range o.Streams {
		if other {
			l.call(unix.SYS_FCHOWN, nsenter.Int(fd), nsenter.Int(o.UID), nsenter.Int(-1)).Ignore()
		}
	}
}

func (b *builder) streamSteps(p *specs.Process) {
	if b.facts.Streams != [3]bool{} && !p.Terminal {
		b.add("process.user", ownStreams{b.facts.Streams, p.User.UID})
	}
}
