package setup

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// hold waits in a created container that is not started. With the socket the process waits on its
// own, for any `start`.
type hold struct {
	Socket bool
	// Init is set when the process is the first one of a PID namespace. The kernel drops signals
	// that such a process has no handler for (pid_namespaces(7)), so it watches for those that end
	// other processes.
	Init bool
}

func (hold) kind() kind { return kind{phaseReady, "hold", ""} }

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
	return []Descriptor{{Name: ReleasePipe}}
}

func (h hold) lower(l *lowering) {
	if !h.Socket {
		l.send(MessageReady, nil)
		l.awaitRelease()
		return
	}
	var s signalWatch
	if h.Init {
		s.begin(l) // before the container can be seen as created
	}
	l.rendezvous(MessageReady)
	// A `start` that is killed before it releases the process must not end the container.
	again := l.prog.NewLabel()
	l.prog.Place(again)
	if h.Init {
		s.wait(l, StartSocket)
	}
	l.call(unix.SYS_ACCEPT4, StartSocket, nsenter.Int(0), nsenter.Int(0), nsenter.Int(unix.SOCK_CLOEXEC)).Result(nsenter.Channel)
	l.sendOr(MessageStart, again)
	if h.Init {
		s.wait(l, nsenter.Channel)
	}
	l.awaitOr(again)
	// The listening socket is what distinguishes created from running. The exec would also close
	// it, but perhaps after the channel, and `start` waits for the end of the channel.
	l.call(unix.SYS_CLOSE, StartSocket)
	if h.Init {
		s.end(l)
	}
}

// A signalWatch ends the first process of a PID namespace when a signal comes. The kernel drops
// signals that such a process has no handler for, but it keeps blocked ones. So the process blocks
// the signals that end other processes, and reads them from a signalfd.
type signalWatch struct {
	fd     nsenter.Reg
	before nsenter.Addr // the signals that were blocked
	polled nsenter.Addr // two of struct pollfd
	ended  nsenter.Label
}

// Sizes of the kernel's sigset_t and struct signalfd_siginfo.
const (
	sizeofSigset  = 8
	sizeofSiginfo = 128
)

// begin emits the start of the watch.
func (s *signalWatch) begin(l *lowering) {
	s.fd, s.ended = l.fd(), l.prog.NewLabel()
	s.before = l.prog.Words(0)
	s.polled = l.prog.Bytes(words(0, unix.POLLIN, 0, unix.POLLIN))
	set := l.prog.Words(endingSignals())
	l.call(unix.SYS_RT_SIGPROCMASK, nsenter.Int(unix.SIG_BLOCK), set, s.before, nsenter.Int(sizeofSigset))
	l.call(unix.SYS_SIGNALFD4, nsenter.Int(-1), set, nsenter.Int(sizeofSigset), nsenter.Int(unix.SFD_CLOEXEC)).Result(s.fd)
}

// wait emits the wait until a descriptor is readable or a signal has come.
func (s *signalWatch) wait(l *lowering, fd nsenter.Arg) {
	again, ready := l.prog.NewLabel(), l.prog.NewLabel()
	l.prog.Store(s.polled, fd)
	l.prog.Store(s.polled+8, s.fd)
	l.prog.Place(again)
	l.call(unix.SYS_PPOLL, s.polled, nsenter.Int(2), nsenter.Int(0), nsenter.Int(0), nsenter.Int(sizeofSigset)).OnError(again, unix.EINTR)
	const revents = 0xffff0000 // after the two bytes of events
	l.prog.Load(s.polled+12, revents, 0).OnZero(ready)
	l.prog.Jump(s.ended)
	l.prog.Place(ready)
}

// end emits the end of the watch, and the exit after a signal. A signal cannot end the first
// process of a PID namespace, so it exits with the status that a shell gives for the signal.
func (s *signalWatch) end(l *lowering) {
	on := l.prog.NewLabel()
	l.call(unix.SYS_RT_SIGPROCMASK, nsenter.Int(unix.SIG_SETMASK), s.before, nsenter.Int(0), nsenter.Int(sizeofSigset))
	l.prog.Jump(on)
	l.prog.Place(s.ended)
	status := l.prog.Reg()
	info := l.prog.Bytes(make([]byte, sizeofSiginfo)) // begins with the signal's number
	l.call(unix.SYS_READ, s.fd, info, nsenter.Int(sizeofSiginfo))
	l.prog.Load(info, 0x7f, 0x80).Result(status)
	l.call(unix.SYS_EXIT_GROUP, status)
	l.prog.Place(on)
}

// endingSignals returns the signals whose default action ends a process (signal(7)). Bit 0 is
// signal 1.
func endingSignals() uint64 {
	set := ^uint64(0)
	for _, other := range [...]unix.Signal{unix.SIGCHLD, unix.SIGCONT, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGURG, unix.SIGWINCH} {
		set &^= 1 << (other - 1)
	}
	return set
}
