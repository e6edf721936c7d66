package setup

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// A SeccompFilter is a compiled seccomp profile.
type SeccompFilter struct {
	// Program is the filter in the kernel's format: instructions of eight bytes each (struct
	// sock_filter).
	Program []byte
	// Flags are those of seccomp(2), SECCOMP_FILTER_FLAG_*.
	Flags uint
	// Notify is set when the filter passes calls to a seccomp agent: the process sends its
	// listener, see [MessageSeccomp].
	Notify bool
	// Answers has the filter's return values for the FilteredCalls. It has none for a call whose
	// result depends on arguments that the planner does not know.
	Answers map[uintptr]uint32
}

// A FilteredCall is a system call that a process may make under its own filter.
type FilteredCall struct {
	Number uintptr
	Args   []uint64 // the first ones, as far as they are known
}

// FilteredCalls are all such calls. A process sends the listener, drops a capability, executes its
// program, and reports why that failed. One that joins a PID namespace may also clone, and make the
// calls after that: see filtersFirst.
func FilteredCalls() []FilteredCall {
	return []FilteredCall{
		{unix.SYS_SENDMSG, nil}, {unix.SYS_READ, nil}, {unix.SYS_CAPSET, nil}, {unix.SYS_EXECVE, nil}, {unix.SYS_WRITE, nil},
		{unix.SYS_CLONE, []uint64{uint64(cloneFlags)}}, {unix.SYS_EXIT_GROUP, []uint64{0}}, {unix.SYS_SETSID, nil}, {unix.SYS_CLOSE, nil},
		{unix.SYS_IOCTL, []uint64{0, unix.TIOCSCTTY, 0}}, {unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)}},
		{unix.SYS_PRLIMIT64, nil}, {unix.SYS_SENDTO, nil}, {unix.SYS_ACCEPT4, nil},
	}
}

// allows reports whether the filter always allows a call.
func (f *SeccompFilter) allows(call uintptr) bool {
	answer, known := f.Answers[call]
	action := answer & unix.SECCOMP_RET_ACTION_FULL
	return known && (action == unix.SECCOMP_RET_ALLOW || action == unix.SECCOMP_RET_LOG)
}

// refuses describes what the filter does with a call that it does not allow, "" if it may allow it.
func (f *SeccompFilter) refuses(call uintptr) string {
	answer, known := f.Answers[call]
	if !known || f.allows(call) {
		return ""
	}
	switch answer & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ERRNO:
		return "answers it with " + unix.ErrnoName(unix.Errno(answer&unix.SECCOMP_RET_DATA))
	case unix.SECCOMP_RET_TRACE:
		return "leaves it to a tracer, which the process does not have"
	case unix.SECCOMP_RET_TRAP:
		return "answers it with SIGSYS"
	case unix.SECCOMP_RET_USER_NOTIF:
		// An agent could allow the other calls, but before these two it does not have the listener.
		if call == unix.SYS_SENDMSG || call == unix.SYS_READ {
			return "leaves it to the agent, which does not have the listener yet"
		}
		return ""
	}
	return "kills the process for it"
}

// Mute reports whether a process may end under the filter without executing its program or
// reporting why, because the filter does not allow all the calls for that.
func (f *SeccompFilter) Mute() bool {
	return !f.allows(unix.SYS_WRITE) || !f.allows(unix.SYS_EXECVE) || !f.allows(unix.SYS_CAPSET)
}

// Mute reports whether that applies to the plan's process.
func (p *Plan) Mute() bool {
	l, at := first[loadSeccomp](p)
	return at >= 0 && l.Filter.Mute()
}

// checkFilter rejects a filter under which the process could not execute its program.
func (b *builder) checkFilter() error {
	f := b.facts.Seccomp
	if f == nil || !slices.ContainsFunc(b.plan.Steps, is[loadSeccomp]) {
		return nil
	}
	needed := []struct {
		call      uintptr
		name, use string
		needed    bool
	}{
		{unix.SYS_SENDMSG, "sendmsg", "hand the listener of SCMP_ACT_NOTIFY over", f.Notify},
		{unix.SYS_READ, "read", "hand the listener of SCMP_ACT_NOTIFY over", f.Notify},
		{unix.SYS_CAPSET, "capset", "drop capabilities without process.noNewPrivileges", b.finalCaps != nil},
		{unix.SYS_EXECVE, "execve", "execute its program", true},
	}
	for _, n := range needed {
		if does := f.refuses(n.call); n.needed && does != "" {
			return specconv.Invalid("linux.seccomp", "must allow "+n.name+", which the process needs to "+n.use+": the filter "+does)
		}
	}
	return nil
}

func (f *SeccompFilter) instructions() int { return len(f.Program) / 8 }

// loadSeccomp installs the filter. It applies to the process itself, so it comes last: only the
// exec remains, and a capset that drops the capability which loading needed. First is set when it
// comes before the process enters a PID namespace: then the filter must allow the steps after that,
// too.
type loadSeccomp struct {
	Filter *SeccompFilter
	First  bool
}

func (s loadSeccomp) kind() kind {
	return kind{phaseIf(s.First, phaseFilter, phaseSeccomp), "load seccomp", ""}
}

func (s loadSeccomp) String() string {
	text := "load seccomp, " + strconv.Itoa(s.Filter.instructions()) + " instructions"
	if s.Filter.Notify {
		text += ", and hand over its listener"
	}
	return text
}

func (s loadSeccomp) lower(l *lowering) {
	// struct sock_fprog, whose length is a short followed by six bytes of padding.
	program := l.prog.Words(uint64(s.Filter.instructions()), uint64(l.prog.Bytes(s.Filter.Program)))
	flags := s.Filter.Flags
	if s.Filter.Notify {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	listener := l.fd()
	if !l.closed {
		l.closeOnExec() // before the load, because the filter need not allow this call
	}
	l.call(unix.SYS_SECCOMP, nsenter.Int(unix.SECCOMP_SET_MODE_FILTER), nsenter.Int(flags), program).Result(listener)
	if s.Filter.Notify {
		l.sendFile(MessageSeccomp, listener, nil)
		if s.First {
			l.call(unix.SYS_CLOSE, listener) // a tracer in the PID namespace must not find it
		} else {
			l.await()
		}
	}
	l.closed = true
}

// dropAdmin drops the capability that was kept for loading a filter.
type dropAdmin struct {
	setCapabilities
	First bool // see loadSeccomp
}

func (t dropAdmin) kind() kind {
	return kind{phaseIf(t.First, phaseFilter, phaseSeccomp), t.setCapabilities.kind().verb, ""}
}

// filterSteps loads the filter, and appends the steps that must follow.
func (b *builder) filterSteps(first bool) {
	if b.facts.Seccomp == nil {
		return
	}
	b.add("linux.seccomp", loadSeccomp{b.facts.Seccomp, first})
	if b.finalCaps != nil {
		b.add("process.capabilities", dropAdmin{*b.finalCaps, first})
	}
}

// retainAdmin adds CAP_SYS_ADMIN to capabilities that lack it if loading a filter needs it, which
// is the case without no_new_privs. It is dropped right after the load.
func (b *builder) retainAdmin(s setCapabilities, p *specs.Process) setCapabilities {
	const admin = 1 << unix.CAP_SYS_ADMIN
	if b.facts.Seccomp == nil || p.NoNewPrivileges || s.Effective&admin != 0 {
		return s
	}
	own := s
	b.finalCaps = &own
	s.Effective |= admin
	s.Permitted |= admin
	return s
}
