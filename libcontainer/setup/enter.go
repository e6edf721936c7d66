package setup

import (
	"errors"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// How a process enters a PID namespace that others are in.
//
// A process with CAP_SYS_PTRACE may trace any other process that it sees, and take over whatever that
// can do; and any process with the same user may stop it. It sees those that are in its PID namespace.
// setns(2) does not bring the caller into one, only the children that it has from then on. So a first
// process, which nobody in the container sees, does all that takes a privilege or shows more than the
// container's process may see, and drops its privileges. Then it clones a second one, which is born with
// the credentials, the limits, the cgroups, the seccomp filter and the descriptors of the program, and
// does only what a process has to do for itself:
//
//	session, terminal   a session belongs to the process that has made it
//	death signal        of hooks: no child inherits it
//	scheduler           a deadline is not inherited: the runtime sets it
//	limit of processes  the first process counts, too: see limitProcesses
//	exec
//
// Who traces this second process gains nothing that the container does not have.

// closeOwn closes the runtime's descriptors, but for those up to Kept, for a process that others may trace.
type closeOwn struct{ Kept nsenter.FD }

func (closeOwn) Verb() string        { return "close" }
func (closeOwn) String() string      { return "close the runtime's descriptors" }
func (closeOwn) Needs() []Descriptor { return nil }
func (closeOwn) phase() phase        { return phaseClose }

func (c closeOwn) lower(l *lowering) {
	l.closeOnExec()
	l.call(unix.SYS_CLOSE_RANGE, nsenter.AboveFD(c.Kept), nsenter.Int(math.MaxUint32), nsenter.Int(0))
	l.closed = true
}

// cloneFlags make the new process the runtime's child like the one that it takes the place of.
const cloneFlags = unix.CLONE_PARENT | int(unix.SIGCHLD)

// cloneChild goes on as a new process: a PID namespace that was joined or made, and a time namespace that was made, are only
// those of children.
type cloneChild struct {
	Last bool // others are in the PID namespace
	// Exposed is set where others are in there, and the process has to be there before: see entersLast.
	Exposed bool
}

func (cloneChild) Verb() string        { return verbClone }
func (cloneChild) String() string      { return "clone a process that is in these namespaces" }
func (cloneChild) Needs() []Descriptor { return nil }

func (c cloneChild) phase() phase {
	if c.Last {
		return phaseEnter
	}
	return phaseJoin
}

func (cloneChild) lower(l *lowering) {
	child, pid := l.prog.NewLabel(), l.prog.Reg()
	l.call(unix.SYS_CLONE, nsenter.Int(cloneFlags)).Result(pid).OnZero(child)
	l.tell(MessageChild, pid)
	l.call(unix.SYS_EXIT_GROUP)
	l.prog.Place(child)
}

const verbClone = "clone"

// IsRefusedClone reports whether a step failed since there may be no more processes.
func IsRefusedClone(err error) bool {
	var s *StepError
	return errors.As(err, &s) && s.Verb == verbClone && s.Errno == unix.EAGAIN
}

// Clones reports whether the first process gives way to another one, which it tells of with [MessageChild].
func (p *Plan) Clones() bool {
	for _, s := range p.Steps {
		if is[cloneChild](s) {
			return true
		}
	}
	return false
}

// ClonesLast reports whether it does so after its set-up, and not before.
func (p *Plan) ClonesLast() bool {
	for _, s := range p.Steps {
		if c, ok := s.Action.(cloneChild); ok {
			return c.Last
		}
	}
	return false
}

// SaidLast reports whether the process that enters a PID namespace last sends a message. It is to be
// believed no other: a tracer may have taken it over.
func (p *Plan) SaidLast(id int) bool {
	last := false
	for _, s := range p.Steps {
		switch a := s.Action.(type) {
		case cloneChild:
			last = a.Last
		case setScheduler:
			if last && id == MessageScheduler {
				return true
			}
		case learnPid:
			if last && id == MessagePid {
				return true
			}
		case hold, endRehearsal:
			if last && id == MessageReady {
				return true
			}
		case loadSeccomp:
			if last && id == MessageSeccomp && a.Filter.Notify {
				return true
			}
		}
	}
	return !last
}

// takeTerminal makes the terminal that is standard input the controlling one of the process's session.
type takeTerminal struct{}

func (takeTerminal) Verb() string        { return "take" }
func (takeTerminal) String() string      { return "take the console for the controlling terminal" }
func (takeTerminal) Needs() []Descriptor { return nil }
func (takeTerminal) phase() phase        { return phaseOwn }

func (takeTerminal) lower(l *lowering) {
	l.call(unix.SYS_IOCTL, nsenter.Int(0), nsenter.Int(unix.TIOCSCTTY), nsenter.Int(0))
}

// awaitAgent waits until the agent has the listener of the filter.
type awaitAgent struct{}

func (awaitAgent) Verb() string        { return "await" }
func (awaitAgent) String() string      { return "await that the seccomp agent has the listener" }
func (awaitAgent) Needs() []Descriptor { return nil }
func (awaitAgent) phase() phase        { return phaseOwn }
func (awaitAgent) lower(l *lowering)   { l.await() }

// enterSteps appends the change to the process that is the program's in the end.
func (b *builder) enterSteps(p *specs.Process, kept nsenter.FD, inside []nsenter.FD) {
	if b.last {
		b.plan.Steps = append(b.plan.Steps, b.room...)
		b.add("", closeOwn{kept})
		if b.filterFirst = b.filtersFirst(p); b.filterFirst {
			b.filterSteps(true)
		}
		b.add("", cloneChild{Last: true})
		if b.filterFirst && b.facts.Seccomp.Notify {
			b.add("linux.seccomp", awaitAgent{})
		}
	}
	for _, tasks := range inside {
		b.add("", joinLast{tasks, true})
	}
	b.add("", newSession{true})
	if p.Terminal {
		b.add("process.terminal", takeTerminal{})
	}
	b.plan.Steps = append(b.plan.Steps, b.own...)
}

// entersLast reports whether the container's process enters its PID namespace last: others may be in it. Where a procfs of that is to be
// mounted, the kernel must make one for a process that is not in there. Otherwise the process is in there from the beginning.
func (b *builder) entersLast(bundle *specconv.Bundle) bool {
	n, ok := bundle.Namespace(specs.PIDNamespace)
	if !ok || n.Path == "" {
		return false
	}
	proc := func(m specconv.Mount) bool { return m.Type == "proc" && !m.Bind && !m.Remount }
	return b.facts.ProcOfOthers || !slices.ContainsFunc(bundle.Mounts, proc)
}

// filtersFirst reports whether the filter can be loaded before the process enters the PID namespace: it must let through what is
// left to be done. Otherwise the process loads it itself.
func (b *builder) filtersFirst(p *specs.Process) bool {
	f := b.facts.Seccomp
	if f == nil || len(p.Args) == 0 {
		return false
	}
	asks := func(s Step) bool { return is[setScheduler](s) || is[learnPid](s) }
	limits := func(s Step) bool { return is[limitProcesses](s) || is[lowerFileLimit](s) }
	own := slices.Concat(b.own, b.files)
	for _, n := range []struct {
		needed bool
		calls  []uintptr
	}{
		{true, []uintptr{unix.SYS_CLONE, unix.SYS_WRITE, unix.SYS_EXIT_GROUP, unix.SYS_SETSID, unix.SYS_EXECVE}},
		{p.Terminal, []uintptr{unix.SYS_IOCTL}},
		{b.taken != nil, []uintptr{unix.SYS_CAPSET}},
		{b.hook != nil, []uintptr{unix.SYS_PRCTL}},
		{slices.ContainsFunc(own, limits), []uintptr{unix.SYS_PRLIMIT64}},
		{slices.ContainsFunc(own, asks), []uintptr{unix.SYS_SENDTO, unix.SYS_READ}},
		{f.Notify, []uintptr{unix.SYS_SENDMSG, unix.SYS_READ, unix.SYS_CLOSE}},
		{b.holds, []uintptr{unix.SYS_SENDTO, unix.SYS_READ, unix.SYS_ACCEPT4, unix.SYS_CLOSE}},
	} {
		for _, call := range n.calls {
			if n.needed && !f.allows(call) {
				return false
			}
		}
	}
	return true
}
