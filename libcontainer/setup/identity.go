package setup

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

type setHostname struct{ Name string }

func (setHostname) kind() kind       { return kind{phaseIdentity, "set hostname", ""} }
func (s setHostname) String() string { return "set hostname " + strconv.Quote(s.Name) }

func (s setHostname) lower(l *lowering) {
	l.call(unix.SYS_SETHOSTNAME, l.str(s.Name), nsenter.Int(len(s.Name)))
}

type setDomainname struct{ Name string }

func (setDomainname) kind() kind       { return kind{phaseIdentity, "set domainname", ""} }
func (s setDomainname) String() string { return "set domainname " + strconv.Quote(s.Name) }

func (s setDomainname) lower(l *lowering) {
	l.call(unix.SYS_SETDOMAINNAME, l.str(s.Name), nsenter.Int(len(s.Name)))
}

// loopbackUp brings up the one interface that a new network namespace has.
type loopbackUp struct{}

func (loopbackUp) kind() kind {
	return kind{phaseIdentity, "bring up", "bring up the loopback interface"}
}

func (loopbackUp) lower(l *lowering) {
	// Any socket serves for the request, and every kernel has Unix ones. It must be a new one,
	// because Channel belongs to the host's network namespace.
	socket := l.fd()
	l.call(unix.SYS_SOCKET, nsenter.Int(unix.AF_UNIX), nsenter.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), nsenter.Int(0)).Result(socket)
	// struct ifreq. Users cannot set the interface's other flags, so there is no need to read them
	// first.
	request := make([]byte, 40)
	copy(request, "lo")
	request[unix.IFNAMSIZ] = unix.IFF_UP
	l.call(unix.SYS_IOCTL, socket, nsenter.Int(unix.SIOCSIFFLAGS), l.prog.Bytes(request))
}

// newSession makes the process a session leader, so that it can have a terminal. Last is set for a
// process that joins a container.
type newSession struct{ Last bool }

func (s newSession) kind() kind {
	return kind{phaseIf(s.Last, phaseOwn, phaseIdentity), "start", "start a new session"}
}
func (newSession) lower(l *lowering) { l.call(unix.SYS_SETSID) }

// joinKeyring gives the container a session keyring of its own, in place of the runtime's. A
// process that joins the container later joins the keyring by its name. Any process of the same
// user could do that, so the name is a secret (see libcontainer), and the keyring's permissions
// hide it.
type joinKeyring struct{ Name string }

func (joinKeyring) kind() kind { return kind{phaseIdentity, "join", ""} }

func (k joinKeyring) String() string {
	if k.Name == "" {
		return "join a new session keyring"
	}
	return "join the session keyring " + k.Name
}

func (k joinKeyring) lower(l *lowering) {
	name := nsenter.Addr(0)
	if k.Name != "" {
		name = l.str(k.Name)
	}
	none, ring := l.prog.NewLabel(), l.prog.Reg()
	// A kernel without keyrings has nothing to isolate.
	l.call(unix.SYS_KEYCTL, nsenter.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), name).Result(ring).OnError(none, unix.ENOSYS)
	// All permissions for the possessor, and search for the user, which joining by name needs.
	// Without view, /proc/keys shows its name to possessors only.
	const permissions = 0x3f080000
	l.call(unix.SYS_KEYCTL, nsenter.Int(unix.KEYCTL_SETPERM), ring, nsenter.Int(permissions)).Ignore(unix.EACCES)
	l.prog.Place(none)
}

// keyringStep changes the session keyring.
func (b *builder) keyringStep(o Options) {
	if !o.NoNewKeyring {
		b.add("", joinKeyring{o.Keyring})
	}
}
