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
	// Program is the filter as the kernel takes it: instructions of eight bytes each (struct sock_filter).
	Program []byte
	// Flags are those of seccomp(2), SECCOMP_FILTER_FLAG_*.
	Flags uint
	// Notify is set when the filter hands calls to an agent: the process sends its listener, see [MessageSeccomp].
	Notify bool
	// Answers is what the filter answers to the FilteredCalls. An answer that depends on the
	// arguments is missing.
	Answers map[uintptr]uint32
}

// FilteredCalls are the system calls that a process may make under its own filter: it hands over
// the listener, drops a capability, executes its program, and writes why that failed.
func FilteredCalls() []uintptr {
	return []uintptr{unix.SYS_SENDMSG, unix.SYS_READ, unix.SYS_CAPSET, unix.SYS_EXECVE, unix.SYS_WRITE}
}

// allows reports whether the filter lets a call through in any case.
func (f *SeccompFilter) allows(call uintptr) bool {
	answer, known := f.Answers[call]
	action := answer & unix.SECCOMP_RET_ACTION_FULL
	return known && (action == unix.SECCOMP_RET_ALLOW || action == unix.SECCOMP_RET_LOG)
}

// refuses says what the filter does in place of a call, "" if it may let it through.
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
		// Only before the agent has the listener there is nobody to decide.
		if call == unix.SYS_SENDMSG || call == unix.SYS_READ {
			return "leaves it to the agent, which does not have the listener yet"
		}
		return ""
	}
	return "kills the process for it"
}

// Mute reports whether a process may end under the filter without executing its program or saying
// why, because the filter does not allow all calls for that.
func (f *SeccompFilter) Mute() bool {
	return !f.allows(unix.SYS_WRITE) || !f.allows(unix.SYS_EXECVE) || !f.allows(unix.SYS_CAPSET)
}

// Mute reports whether that is so for the plan's process.
func (p *Plan) Mute() bool {
	for _, s := range p.Steps {
		if l, ok := s.Action.(loadSeccomp); ok {
			return l.Filter.Mute()
		}
	}
	return false
}

// checkFilter finds that the filter keeps the process from executing its program.
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
		{unix.SYS_CAPSET, "capset", "drop capabilities without process.noNewPrivileges", b.taken != nil},
		{unix.SYS_EXECVE, "execve", "execute its program", true},
	}
	for _, n := range needed {
		if does := f.refuses(n.call); n.needed && does != "" {
			return specconv.Fault{Path: "linux.seccomp",
				Problem: "must allow " + n.name + ", which the process needs to " + n.use + ": the filter " + does}
		}
	}
	return nil
}

func (f *SeccompFilter) instructions() int { return len(f.Program) / 8 }

// loadSeccomp puts the filter in force. It holds for what the process itself still does, so it comes last of all: what is left
// to be allowed is a capset, where that takes back the capability that the load took, and the exec.
type loadSeccomp struct{ Filter *SeccompFilter }

func (loadSeccomp) Verb() string        { return "load seccomp" }
func (loadSeccomp) Needs() []Descriptor { return nil }
func (loadSeccomp) phase() phase        { return phaseSeccomp }

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
	l.closeOnExec() // the call need not be allowed
	l.call(unix.SYS_SECCOMP, nsenter.Int(unix.SECCOMP_SET_MODE_FILTER), nsenter.Int(flags), program).Result(listener)
	if s.Filter.Notify {
		l.sendFile(MessageSeccomp, listener, nil)
		l.await()
	}
	l.closed = true
}

// takeBack drops the capability that the load of a filter took.
type takeBack struct{ setCapabilities }

func (t takeBack) phase() phase { return phaseSeccomp }

// seccompSteps appends the load of the filter, and what must come after it.
func (b *builder) seccompSteps() {
	if b.facts.Seccomp == nil {
		return
	}
	b.add("linux.seccomp", loadSeccomp{b.facts.Seccomp})
	if b.taken != nil {
		b.add("process.capabilities", takeBack{*b.taken})
	}
}

// lendAdmin adds CAP_SYS_ADMIN to capabilities that lack it, when the load of a filter takes it: it does without no_new_privs. It is taken
// back right after the load.
func (b *builder) lendAdmin(s setCapabilities, p *specs.Process) setCapabilities {
	const admin = 1 << unix.CAP_SYS_ADMIN
	if b.facts.Seccomp == nil || p.NoNewPrivileges || s.Effective&admin != 0 {
		return s
	}
	own := s
	b.taken = &own
	s.Effective |= admin
	s.Permitted |= admin
	return s
}
