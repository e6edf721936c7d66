package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// setRlimit sets a resource limit. Raising one needs a privilege, so it comes before the
// credentials.
type setRlimit struct {
	Type       string
	Resource   int
	Soft, Hard uint64
}

func (setRlimit) kind() kind { return kind{phaseLimits, "set limit", ""} }

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

// roomForFiles is more than the number of files that a plan has open.
const roomForFiles = 512

// lowerFileLimit sets a limit of open files that is too low for the setup itself.
type lowerFileLimit struct {
	Limit setRlimit
	Early bool // before the process enters a PID namespace
}

func (s lowerFileLimit) kind() kind {
	return kind{phaseIf(s.Early, phaseCharge, phaseStart), "set limit", ""}
}
func (s lowerFileLimit) String() string { return s.Limit.String() }

func (s lowerFileLimit) lower(l *lowering) { l.limit(s.Limit.Resource, s.Limit.Soft, s.Limit.Hard) }

// raiseLimit raises a hard limit, and the soft limit with it, while the process may do so. In a
// user namespace it may not.
type raiseLimit struct {
	Type     string
	Resource int
	Hard     uint64
}

func (raiseLimit) kind() kind       { return kind{phaseIsolate, "raise limit", ""} }
func (r raiseLimit) String() string { return "raise limit " + r.Type + " to " + limit(r.Hard) }

func (r raiseLimit) lower(l *lowering) { l.limit(r.Resource, r.Hard, r.Hard) }

// raiseSteps raises limits before a user namespace is joined.
func (b *builder) raiseSteps(list []specs.POSIXRlimit) {
	for i, r := range list {
		resource, ok := specconv.RlimitResource(r.Type)
		if ok && resource < len(b.facts.HardLimits) && r.Hard > b.facts.HardLimits[resource] {
			b.add(jsonpath.Index("process.rlimits", i), raiseLimit{r.Type, resource, r.Hard})
		}
	}
}

// limitProcesses sets RLIMIT_NPROC for a process that enters a PID namespace last. The limit counts
// all processes of a user, including the first process, which is gone when the program is executed.
// So limitProcesses makes room for the clone:
//
//	phaseLimits  the soft limit, which setresuid(2) compares with: the exec fails later if the
//	             user has more processes. The hard limit stays as high as the process may have it
//	phaseCharge  the soft limit as high, too, for the clone
//	phaseOwn     the soft and the hard limit
type limitProcesses struct {
	Limit setRlimit
	Room  uint64 // the high hard limit
	When  phase
}

func (s limitProcesses) kind() kind { return kind{s.When, "set limit", ""} }

func (s limitProcesses) String() string {
	if s.When == phaseCharge {
		return "make room for a process below limit " + s.Limit.Type
	}
	return s.Limit.String()
}

func (s limitProcesses) lower(l *lowering) {
	switch s.When {
	case phaseLimits:
		l.limit(s.Limit.Resource, s.Limit.Soft, s.Room).Ignore(unix.EPERM)
	case phaseCharge:
		l.limit(s.Limit.Resource, s.Room, s.Room).Ignore(unix.EPERM)
	default:
		l.limit(s.Limit.Resource, s.Limit.Soft, s.Limit.Hard)
	}
}

func (b *builder) limitProcesses(field string, s setRlimit) {
	room := uint64(unix.RLIM_INFINITY)
	if hard := b.facts.HardLimits; b.inUser || b.facts.Unprivileged || b.facts.Nested {
		room = s.Hard
		if s.Resource < len(hard) {
			room = max(room, hard[s.Resource])
		}
	}
	b.add(field, limitProcesses{s, room, phaseLimits})
	b.room = append(b.room, Step{field, limitProcesses{s, room, phaseCharge}})
	b.own = append(b.own, Step{field, limitProcesses{s, room, phaseOwn}})
}

// limitSteps appends the limits.
func (b *builder) limitSteps(list []specs.POSIXRlimit) {
	for i, r := range list {
		resource, ok := specconv.RlimitResource(r.Type)
		if !ok {
			continue // refused by specconv
		}
		s := setRlimit{r.Type, resource, r.Soft, r.Hard}
		if field := jsonpath.Index("process.rlimits", i); b.last && resource == unix.RLIMIT_NPROC {
			b.limitProcesses(field, s)
		} else {
			b.add(field, s)
		}
		if resource == unix.RLIMIT_NOFILE && r.Soft < roomForFiles {
			b.files = append(b.files, Step{jsonpath.Index("process.rlimits", i), lowerFileLimit{Limit: s}})
		}
	}
}
