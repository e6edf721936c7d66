package setup

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// StreamFacts is what the planner must know about the standard streams.
type StreamFacts struct {
	// Given says which streams the process's user must own: they belong to another user, and the
	// caller passes them. Other files of the caller keep their owner.
	Given [3]bool
	// Owner is that user's ID on the runtime's side of the container's user namespace.
	Owner uint32
	// Null says which of them are the host's null device.
	Null [3]bool
}

// streamNames names the streams of a set for messages.
func streamNames(set [3]bool) string {
	var names []string
	for fd, name := range [...]string{"stdin", "stdout", "stderr"} {
		if set[fd] {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// giveStreams changes the owner of standard streams to the process's user, who could otherwise not
// reopen them as /dev/stdout or /proc/self/fd/1. The group stays as it is.
type giveStreams struct {
	Streams [3]bool
	UID     uint32
	// Outside is set when the process does so before it joins the container's user namespace:
	// inside it has no privileges over files of the host's users. UID is then the host's ID.
	Outside bool
}

func (g giveStreams) kind() kind { return kind{phaseIf(g.Outside, phaseJoin, phaseInside), "give", ""} }

func (g giveStreams) String() string {
	text := "give " + streamNames(g.Streams) + " to user " + strconv.FormatUint(uint64(g.UID), 10)
	if g.Outside {
		text += " of the host"
	}
	return text
}

// lower ignores failures. An ordinary user may not change an owner, and nobody can on a read-only
// filesystem. Most processes do not need it.
func (g giveStreams) lower(l *lowering) {
	for fd, given := range g.Streams {
		if given {
			l.call(unix.SYS_FCHOWN, nsenter.Int(fd), nsenter.Int(g.UID), nsenter.Int(-1)).Ignore()
		}
	}
}

// outsideStreamsStep gives streams before the user namespace is joined, if the runtime has
// privileges on the host.
func (b *builder) outsideStreamsStep() {
	if s := &b.facts.Streams; b.givesOutside() && s.Given != [3]bool{} {
		b.add("process.user", giveStreams{s.Given, s.Owner, true})
	}
}

func (b *builder) givesOutside() bool { return b.inUser && !b.facts.Unprivileged }

func (b *builder) streamSteps(p *specs.Process) {
	if null := b.facts.Streams.Null; null != [3]bool{} {
		b.add("", replaceNull{null, !b.inUser && !b.facts.Nested})
	}
	if given := b.facts.Streams.Given; given != [3]bool{} && !b.givesOutside() {
		b.add("process.user", giveStreams{given, p.User.UID, false})
	}
}

// replaceNull replaces the host's null device by the container's own. The container could change
// the mode and the owner of the host's device for everybody, because fchmod(2) works on the
// descriptor.
//
// The image may have put any file at /dev/null, so the process checks what it opened. If that is
// not a null device, the process makes one on a filesystem of its own, where no other process can
// reach it. In a user namespace it may not make one, and the host's device stays: its owner is not
// mapped there.
type replaceNull struct {
	Streams [3]bool
	Make    bool
}

func (replaceNull) kind() kind { return kind{phaseInside, "replace", ""} }

func (r replaceNull) String() string {
	return "replace the host's null device by the container's: " + streamNames(r.Streams)
}

// Offsets in struct statx, and its size.
const (
	statxMode  = 28 // followed by two bytes of padding
	statxMajor = 128
	statxMinor = 132
	statxSize  = 256
)

func (r replaceNull) lower(l *lowering) {
	null, ready, other := l.fd(), l.prog.NewLabel(), l.prog.NewLabel()
	last, opened := l.tryOpen(null, "/dev/null", unix.O_RDWR|unix.O_NOCTTY)
	last.OnError(other)
	l.prog.Place(opened)
	l.deviceOr(null, &defaultDevices[0], other)
	l.prog.Jump(ready)

	l.prog.Place(other)
	done := l.prog.NewLabel()
	if r.Make {
		dir := l.fd()
		l.newMount(dir, "tmpfs", "tmpfs", []string{"mode=755", "nr_blocks=1", "nr_inodes=2"}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
		l.at(unix.SYS_MKNODAT, in(dir), "null", nsenter.Int(unix.S_IFCHR|0o666), nsenter.Int(unix.Mkdev(1, 3)))
		l.open(null, dir, "null", unix.O_RDWR|unix.O_NOCTTY, 0, inRoot|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	} else {
		l.prog.Jump(done)
	}

	l.prog.Place(ready)
	for fd, replaced := range r.Streams {
		if replaced {
			l.call(unix.SYS_DUP3, null, nsenter.Int(fd), nsenter.Int(0))
		}
	}
	l.prog.Place(done)
}
