package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// runHooks lets the runtime run hooks while all is mounted and the host is still in reach.
type runHooks struct{ Kinds string }

func (runHooks) Verb() string        { return "wait" }
func (h runHooks) String() string    { return "wait while the runtime runs " + h.Kinds + " hooks" }
func (runHooks) Needs() []Descriptor { return nil }
func (runHooks) phase() phase        { return phaseHooks }
func (runHooks) lower(l *lowering)   { l.rendezvous(MessageHooks) }

// hold is where a container is created but not started. With the socket the process waits on its own, for any `start`.
type hold struct{ Socket bool }

func (hold) Verb() string { return "hold" }
func (hold) phase() phase { return phaseReady }

func (h hold) String() string {
	if h.Socket {
		return "wait for start on the start socket"
	}
	return "wait for the runtime"
}

func (h hold) Needs() []Descriptor {
	if h.Socket {
		return []Descriptor{{Name: StartSocket}}
	}
	return []Descriptor{{Name: Gate}}
}

func (h hold) lower(l *lowering) {
	if !h.Socket {
		l.send(MessageReady, nil)
		l.gate()
		return
	}
	l.rendezvous(MessageReady)
	// A `start` that is killed before it lets the process go on must not end the container.
	again := l.prog.NewLabel()
	l.prog.Place(again)
	l.call(unix.SYS_ACCEPT4, StartSocket, nsenter.Int(0), nsenter.Int(0), nsenter.Int(unix.SOCK_CLOEXEC)).Result(nsenter.Channel)
	l.rendezvousOr(MessageStart, again)
	// That somebody listens is what tells created from running. The exec would close the socket, too, but perhaps after the channel,
	// whose end is what `start` waits for.
	l.call(unix.SYS_CLOSE, StartSocket)
}
