package setup

import "github.com/orlop/orlop/nsenter"

// learnPid asks the runtime for the process's PID in its PID namespace, and puts it into an
// environment variable of the program. A service whose sockets the service manager opened uses them
// only when $LISTEN_PID is its own PID (sd_listen_fds(3)).
type learnPid struct {
	Variable string
	Last     bool // in the process that enters a PID namespace last
}

func (l learnPid) kind() kind     { return kind{phaseIf(l.Last, phaseOwn, phaseIdentity), "learn", ""} }
func (l learnPid) String() string { return "learn the process's PID for $" + l.Variable }

func (a learnPid) lower(l *lowering) {
	const digits = 10
	name := a.Variable + "="
	l.pid = l.prog.Bytes(append([]byte(name), make([]byte, digits+1)...))
	l.send(MessagePid, nil)
	l.awaitData(l.pid+nsenter.Addr(len(name)), digits)
}

// pidStep passes the process's PID to its program. The first process of a PID namespace has PID 1.
func (b *builder) pidStep(variable string) {
	if variable == "" {
		return
	}
	if b.makesPIDNamespace() {
		b.env = append(b.env, variable+"=1")
		return
	}
	b.learnsPid = variable
	if b.last {
		b.own = append(b.own, Step{"", learnPid{variable, true}})
		return
	}
	b.add("", learnPid{variable, false})
}
