package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// setRlimit sets a resource limit. It takes a privilege to raise one, so it comes before the credentials.
type setRlimit struct {
	Type       string
	Resource   int
	Soft, Hard uint64
}

func (s setRlimit) Verb() string      { return "set limit" }
func (setRlimit) Needs() []Descriptor { return nil }
func (setRlimit) phase() phase        { return phaseLimits }

func (s setRlimit) String() string {
	return "set limit " + s.Type + " to " + limit(s.Soft) + ", at most " + limit(s.Hard)
}

func limit(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func (s setRlimit) lower(l *lowering) {
	soft, hard := s.Soft, s.Hard
	if s.Resource == unix.RLIMIT_NOFILE && soft < roomForFiles {
		// The steps that follow still open files: see lowerFileLimit.
		soft, hard = roomForFiles, max(hard, roomForFiles)
		l.limit(s.Resource, soft, hard).Ignore(unix.EPERM)
		return
	}
	l.limit(s.Resource, soft, hard)
}

func (l *lowering) limit(resource int, soft, hard uint64) *nsenter.Op {
	return l.call(unix.SYS_PRLIMIT64, nsenter.Int(0), nsenter.Int(resource), l.prog.Words(soft, hard), nsenter.Int(0))
}

// roomForFiles is more than a plan has open.
const roomForFiles = 512

// lowerFileLimit sets a limit of open files that is too low for the set-up itself.
type lowerFileLimit struct{ Limit setRlimit }

func (s lowerFileLimit) Verb() string      { return "set limit" }
func (s lowerFileLimit) String() string    { return s.Limit.String() }
func (lowerFileLimit) Needs() []Descriptor { return nil }
func (lowerFileLimit) phase() phase        { return phaseStart }

func (s lowerFileLimit) lower(l *lowering) { l.limit(s.Limit.Resource, s.Limit.Soft, s.Limit.Hard) }

// raiseLimit raises a hard limit, and the limit with it, while the process has the right to: in a user namespace it has not.
type raiseLimit struct {
	Type     string
	Resource int
	Hard     uint64
}

func (r raiseLimit) Verb() string      { return "raise limit" }
func (r raiseLimit) String() string    { return "raise limit " + r.Type + " to " + limit(r.Hard) }
func (raiseLimit) Needs() []Descriptor { return nil }
func (raiseLimit) phase() phase        { return phaseIsolate }

func (r raiseLimit) lower(l *lowering) { l.limit(r.Resource, r.Hard, r.Hard) }

// raiseSteps appends what must be done for limits before a user namespace is joined.
func (b *builder) raiseSteps(list []specs.POSIXRlimit) {
	for i, r := range list {
		resource, ok := specconv.RlimitResource(r.Type)
		if ok && resource < len(b.facts.HardLimits) && r.Hard > b.facts.HardLimits[resource] {
			b.add(element("process.rlimits", i), raiseLimit{r.Type, resource, r.Hard})
		}
	}
}

// limitSteps appends the limits.
func (b *builder) limitSteps(list []specs.POSIXRlimit) {
	for i, r := range list {
		resource, ok := specconv.RlimitResource(r.Type)
		if !ok {
			continue // refused by specconv
		}
		s := setRlimit{r.Type, resource, r.Soft, r.Hard}
		b.add(element("process.rlimits", i), s)
		if resource == unix.RLIMIT_NOFILE && r.Soft < roomForFiles {
			b.files = append(b.files, Step{element("process.rlimits", i), lowerFileLimit{s}})
		}
	}
}
