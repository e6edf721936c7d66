package setup

import (
	"math"
	"math/bits"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// isolate is the first step of every plan. It prevents processes of a container that is joined from
// inspecting this one through ptrace or /proc/PID (CVE-2016-9962), and descriptors of the runtime
// from reaching a program (CVE-2024-21626). From then on files get exactly the mode that is
// requested.
//
// Dumpable leaves the first out: the kernel denies an ordinary user access to a process that is not
// dumpable, even to its own, and so the runtime could not join the container for hooks and exec. It
// is only set for a process that joins no namespaces of others, because then no other process can
// reach it.
//
// Slack is the timer slack in nanoseconds, 0 for that of the thread that starts the process.
// Ignored is Facts.Ignored.
type isolate struct {
	Dumpable bool
	Slack    int
	Ignored  uint64
}

func (isolate) kind() kind { return kind{phaseIsolate, "isolate", ""} }

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
		l.prctl(unix.PR_SET_TIMERSLACK, nsenter.Int(i.Slack))
	}
	for left := i.Ignored; left != 0; left &= left - 1 {
		signal := bits.TrailingZeros64(left) + 1
		// struct sigaction: SIG_DFL, no flags, an empty mask of eight bytes.
		l.call(unix.SYS_RT_SIGACTION, nsenter.Int(signal), l.prog.Words(0, 0, 0, 0), nsenter.Int(0), nsenter.Int(8))
	}
}

// dumpable emits the setting of the dumpable flag. Depending on the sysctl fs.suid_dumpable, a
// change of the process's IDs may have set it either way.
func (l *lowering) dumpable(yes bool) {
	n := nsenter.Int(0)
	if yes {
		n = 1
	}
	l.prctl(unix.PR_SET_DUMPABLE, n)
}

// closeOnExec emits the marking of all of the runtime's descriptors.
func (l *lowering) closeOnExec() {
	l.call(unix.SYS_CLOSE_RANGE, nsenter.FirstOwn, nsenter.Int(math.MaxUint32), nsenter.Int(unix.CLOSE_RANGE_CLOEXEC))
}

// setOOMScore sets how readily the kernel kills the process when memory is short. It comes before
// any namespace is joined, while /proc is still the host's and no container can have replaced the
// file (CVE-2025-52881). It also comes before the process stops being dumpable, because then the
// host's root owns the file.
type setOOMScore struct{ Value int }

func (setOOMScore) kind() kind       { return kind{phaseIsolate, "set", ""} }
func (s setOOMScore) String() string { return "set oom_score_adj to " + strconv.Itoa(s.Value) }

func (s setOOMScore) lower(l *lowering) {
	l.writeSelf("oom_score_adj", strconv.Itoa(s.Value))
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

// isolateSteps appends the steps that come before all others.
func (b *builder) isolateSteps(oomScore *int) {
	b.oomScoreStep(oomScore)
	b.add("", isolate{b.dumpable, b.facts.TimerSlack, b.facts.Ignored})
}
