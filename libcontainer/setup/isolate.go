package setup

import (
	"math"

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
