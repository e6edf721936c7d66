package setup

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// A SeccompFilter is a compiled seccomp profile.
type SeccompFilter struct {
	// Program is the filter as the kernel takes it: instructions of eight bytes each (struct sock_filter).
	Program []byte
	// Flags are those of seccomp(2), SECCOMP_FILTER_FLAG_*.
	Flags uint
	// Notify is set when the filter hands calls to an agent: the process sends its listener, see [MessageSeccomp].
	Notify bool
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
