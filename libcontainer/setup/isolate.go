package setup

import (
	"math"
	"math/bits"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// isolate is the first step of every plan. From it on, no process of a container that is joined can look into this one through
// ptrace or /proc/PID (CVE-2016-9962), no descriptor of the runtime's reaches a program (CVE-2024-21626), and files are made with
// the mode that is asked for.
//
// Dumpable leaves out the first: the kernel keeps an ordinary user from what belongs to a process that is not dumpable, even to its own,
// and so the runtime from joining the container for hooks and exec. It is only for a process that joins nothing that others are in:
// nobody can reach it then.
//
// Slack is the timer slack that the process gets, in nanoseconds, 0 for that of the thread which starts it. Ignored is Facts.Ignored.
type isolate struct {
	Dumpable bool
	Slack    int
	Ignored  uint64
}

func (isolate) Verb() string        { return "isolate" }
func (isolate) Needs() []Descriptor { return nil }
func (isolate) phase() phase        { return phaseIsolate }

func (i isolate) String() string {
	if i.Dumpable {
		return "isolate: descriptors closed on exec"
	}
	return "isolate: not dumpable, descriptors closed on exec"
}

func (i isolate) lower(l *lowering) {
	if !i.Dumpable {
		l.dumpable(false)
	}
	l.closeOnExec()
	l.call(unix.SYS_UMASK, nsenter.Int(0))
	if i.Slack > 0 {
		l.call(unix.SYS_PRCTL, nsenter.Int(unix.PR_SET_TIMERSLACK), nsenter.Int(i.Slack), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0))
	}
	for left := i.Ignored; left != 0; left &= left - 1 {
		signal := bits.TrailingZeros64(left) + 1
		// struct sigaction: SIG_DFL, no flags, an empty mask of eight bytes.
		l.call(unix.SYS_RT_SIGACTION, nsenter.Int(signal), l.prog.Words(0, 0, 0, 0), nsenter.Int(0), nsenter.Int(8))
	}
}

// dumpable appends what makes the process dumpable or not. A change of its ids may have made it either, depending on the sysctl
// fs.suid_dumpable.
func (l *lowering) dumpable(yes bool) {
	n := nsenter.Int(0)
	if yes {
		n = 1
	}
	l.call(unix.SYS_PRCTL, nsenter.Int(unix.PR_SET_DUMPABLE), n, nsenter.Int(0), nsenter.Int(0), nsenter.Int(0))
}

// closeOnExec appends what marks all of the runtime's descriptors.
func (l *lowering) closeOnExec() {
	l.call(unix.SYS_CLOSE_RANGE, nsenter.FirstOwn, nsenter.Int(math.MaxUint32), nsenter.Int(unix.CLOSE_RANGE_CLOEXEC))
}

// setOOMScore sets how readily the kernel kills the process when memory is short. It comes before anything is joined, while the
// procfs in reach is the host's, which nobody in a container can have put something else in the place of (CVE-2025-52881), and before the
// process is not dumpable, when the file is the host's root's.
type setOOMScore struct{ Value int }

func (s setOOMScore) Verb() string      { return "set" }
func (s setOOMScore) String() string    { return "set oom_score_adj to " + strconv.Itoa(s.Value) }
func (setOOMScore) Needs() []Descriptor { return nil }
func (setOOMScore) phase() phase        { return phaseIsolate }

func (s setOOMScore) lower(l *lowering) {
	const file = "/proc/self/oom_score_adj"
	value, fd := strconv.Itoa(s.Value), l.fd()
	l.host(unix.SYS_OPENAT, file, nsenter.Int(unix.AT_FDCWD), l.str(file), nsenter.Int(unix.O_WRONLY|unix.O_CLOEXEC), nsenter.Int(0)).Result(fd)
	l.call(unix.SYS_WRITE, fd, l.str(value), nsenter.Int(len(value)))
	// A process of a container that is joined shall not find it.
	l.call(unix.SYS_CLOSE, fd)
}

func (b *builder) oomScoreStep(value *int) {
	if value == nil {
		return
	}
	if least := b.facts.LeastOOMScore; least != nil && *value < *least {
		b.note("process.oomScoreAdj: the runtime may not go below " + strconv.Itoa(*least) + ": left as it is")
		return
	}
	b.add("process.oomScoreAdj", setOOMScore{*value})
}

// isolateSteps appends what comes before all else.
func (b *builder) isolateSteps(oomScore *int) {
	b.oomScoreStep(oomScore)
	b.add("", isolate{b.dumpable, b.facts.TimerSlack, b.facts.Ignored})
}
