package setup

import (
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

// isolate is the first step of every plan. From it on, no process of a container that is joined can look into this one through
// ptrace or /proc/PID (CVE-2016-9962), no descriptor of the runtime's reaches a program (CVE-2024-21626), and files are made with
// the mode that is asked for.
type isolate struct{}

func (isolate) Verb() string        { return "isolate" }
func (isolate) String() string      { return "isolate: not dumpable, descriptors closed on exec" }
func (isolate) Needs() []Descriptor { return nil }
func (isolate) phase() phase        { return phaseIsolate }

func (isolate) lower(l *lowering) {
	l.call(unix.SYS_PRCTL, nsenter.Int(unix.PR_SET_DUMPABLE), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0), nsenter.Int(0))
	l.closeOnExec()
	l.call(unix.SYS_UMASK, nsenter.Int(0))
}

// closeOnExec appends what marks all of the runtime's descriptors.
func (l *lowering) closeOnExec() {
	l.call(unix.SYS_CLOSE_RANGE, nsenter.FirstOwn, nsenter.Int(math.MaxUint32), nsenter.Int(unix.CLOSE_RANGE_CLOEXEC))
}

// setOOMScore sets how readily the kernel kills the process when memory is short. It comes before anything is joined, while the
// procfs in reach is the host's, which nobody in a container can have put something else in the place of (CVE-2025-52881).
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
	if value != nil {
		b.add("process.oomScoreAdj", setOOMScore{*value})
	}
}
