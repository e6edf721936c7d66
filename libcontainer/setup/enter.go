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
// A process with CAP_SYS_PTRACE may trace any process that it sees, and take over whatever that
// process can do. Any process of the same user may stop it. A process sees those in its PID
// namespace. setns(2) moves only later children of the caller into a PID namespace. So a first
// process, which nobody in the container sees, does everything that needs a privilege or would show
// the container more than it may see, and drops its privileges. Then it clones a second process,
// which starts with the credentials, limits, cgroups, seccomp filter and descriptors of the
// program, and does only what a process must do itself:
//
// 	session, terminal   a session belongs to the process that has made it
// 	death signal        of hooks: no child inherits it
// 	scheduler           a deadline is not inherited: the runtime sets it
// 	limit of processes  the first process counts, too: see limitProcesses
// 	exec
//
// Tracing this second process gains nothing that the container does not have.

// closeOwn closes the runtime's descriptors above Kept, for a process that others may trace.
type closeOwn struct{ Kept nsenter.FD }

func (closeOwn) kind() kind { return kind{phaseClose, "close", "close the runtime's descriptors"} }

func (c closeOwn) lower(l *lowering) {
	l.closeOnExec()
	l.call(unix.SYS_CLOSE_RANGE, nsenter.AboveFD(c.Kept), nsenter.Int(math.MaxUint32), nsenter.Int(0))
	l.closed = true
}

// cloneFlags make the new process a child of the runtime, like the process that it replaces.
const cloneFlags = unix.CLONE_PARENT | int(unix.SIGCHLD)

// cloneChild continues in a new process, because only children are in a PID namespace that was
// joined or made, or in a time namespace that was made.
type cloneChild struct {
	Last bool // other processes are in the PID namespace
	// Exposed is set when others are in it and the process must enter it early: see entersLast.
	Exposed bool
}

func (c cloneChild) kind() kind {
	return kind{phaseIf(c.Last, phaseEnter, phaseJoin), verbClone, "clone a process that is in these namespaces"}
}

func (cloneChild) lower(l *lowering) {
	child, pid := l.prog.NewLabel(), l.prog.Reg()
	l.call(unix.SYS_CLONE, nsenter.Int(cloneFlags)).Result(pid).OnZero(child)
	l.tell(MessageChild, pid)
	l.call(unix.SYS_EXIT_GROUP)
	l.prog.Place(child)
}

const verbClone = "clone"

// IsRefusedClone reports whether a step failed because the limit of processes was reached.
func IsRefusedClone(err error) bool {
	var s *StepError
	return errors.As(err, &s) && s.Verb == verbClone && s.Errno == unix.EAGAIN
}

// Clones reports whether the first process is replaced by another one, which it announces with
// [MessageChild].
func (p *Plan) Clones() bool {
	_, at := first[cloneChild](p)
	return at >= 0
}

// ClonesLast reports whether the plan clones after the setup, not before.
func (p *Plan) ClonesLast() bool {
	c, _ := first[cloneChild](p)
	return c.Last
}

// KeptFile returns the runtime's file that a process keeps while others may trace it, "" without
// such a process. The process closes all higher descriptors, so this one must get the lowest.
func (p *Plan) KeptFile() nsenter.FD {
	if c, _ := first[closeOwn](p); c.Kept != nsenter.FirstOwn {
		return c.Kept
	}
	return ""
}

// SaidLast reports whether the process that enters a PID namespace last sends the message id. Other
// messages from it must not be trusted, because a tracer may have taken it over.
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

// setControllingTerminal makes the terminal on standard input the controlling terminal of the
// session.
type setControllingTerminal struct{}

func (setControllingTerminal) kind() kind {
	return kind{phaseOwn, "make", "make the console the controlling terminal"}
}

func (setControllingTerminal) lower(l *lowering) {
	l.call(unix.SYS_IOCTL, nsenter.Int(0), nsenter.Int(unix.TIOCSCTTY), nsenter.Int(0))
}

// awaitSeccompAgent waits until the seccomp agent has the filter's listener.
type awaitSeccompAgent struct{}

func (awaitSeccompAgent) kind() kind {
	return kind{phaseOwn, "wait", "wait until the seccomp agent has the listener"}
}
func (awaitSeccompAgent) lower(l *lowering) { l.await() }

// enterSteps appends the change to the process that executes the program.
func (b *builder) enterSteps(p *specs.Process, kept nsenter.FD, inside []nsenter.FD) {
	if b.last {
		b.plan.Steps = append(b.plan.Steps, b.room...)
		b.add("", closeOwn{kept})
		if b.filterFirst = b.filtersFirst(p); b.filterFirst {
			b.filterSteps(true)
		}
		b.add("", cloneChild{Last: true})
		if b.filterFirst && b.facts.Seccomp.Notify {
			b.add("linux.seccomp", awaitSeccompAgent{})
		}
	}
	for _, tasks := range inside {
		b.add("", joinCgroup{tasks, phaseOwn})
	}
	b.add("", newSession{true})
	if p.Terminal {
		b.add("process.terminal", setControllingTerminal{})
	}
	b.plan.Steps = append(b.plan.Steps, b.own...)
}

// entersLast reports whether the container's process enters its PID namespace last, because others
// may be in it. If a procfs of that namespace must be mounted, this needs a kernel that mounts one
// for a process outside the namespace. Otherwise the process is in it from the start.
func (b *builder) entersLast(bundle *specconv.Bundle) bool {
	n, ok := bundle.Namespace(specs.PIDNamespace)
	if !ok || n.Path == "" {
		return false
	}
	proc := func(m specconv.Mount) bool { return m.Type == "proc" && !m.Bind && !m.Remount }
	return b.facts.ProcOfOthers || !slices.ContainsFunc(bundle.Mounts, proc)
}

// filtersFirst reports whether the filter can be loaded before the process enters the PID
// namespace. It must allow the system calls that are still needed. Otherwise the process in the
// namespace loads it.
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
		{b.finalCaps != nil, []uintptr{unix.SYS_CAPSET}},
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
