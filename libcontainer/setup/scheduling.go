package setup

import (
	"bytes"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// Scheduling is set once the process is in its cgroups, which bound its processors and its
// real-time runtime, and before it drops CAP_SYS_NICE, which this needs:
//
//	affinity       the caller's is undone; first, because SCHED_DEADLINE is refused to a process
//	               that may not run on its whole cpuset, and afterwards cannot be narrowed
//	scheduler      after the limits: RLIMIT_NICE and RLIMIT_RTPRIO allow some of it to an ordinary
//	               user
//	I/O priority
//	memory policy
//
// The kernel requires CAP_SYS_NICE in the initial user namespace. A process in another user
// namespace must get a real-time I/O priority before it joins, and has the runtime set the rest: a
// deadline cannot be set before, because it is not inherited.

// setAffinity restricts the process to some processors (process.execCPUAffinity.final). The kernel
// uses those of them that are in its cpuset.
type setAffinity struct{ CPUs string }

func (setAffinity) kind() kind       { return kind{phaseLimits, "set affinity", ""} }
func (s setAffinity) String() string { return "set affinity to processors " + s.CPUs }

func (s setAffinity) lower(l *lowering) {
	mask := specconv.RangeMask(s.CPUs)
	l.call(unix.SYS_SCHED_SETAFFINITY, nsenter.Int(0), nsenter.Int(8*len(mask)), l.prog.Words(mask...))
}

// resetAffinity gives the process all processors of its cpuset. The caller may have been restricted
// (taskset(1), CPUAffinity= of systemd), and since Linux 6.2 the kernel remembers the restriction
// even for a process that moves to another cpuset.
type resetAffinity struct{}

func (resetAffinity) kind() kind {
	return kind{phaseLimits, "set affinity", "set affinity to all processors of the cpuset"}
}

// lower requests all processors that a kernel can have (NR_CPUS is at most 8192); the kernel uses
// those that exist. A filter on the runtime itself may forbid the call.
func (resetAffinity) lower(l *lowering) {
	const most = 8192
	mask := bytes.Repeat([]byte{0xff}, most/8)
	l.call(unix.SYS_SCHED_SETAFFINITY, nsenter.Int(0), nsenter.Int(len(mask)), l.prog.Bytes(mask)).Ignore(unix.EPERM)
}

// affinityStep sets the process's affinity. An affinity that the configuration set at the start
// (execCPUAffinity.initial) stays as the kernel has it (config.md, execCPUAffinity).
func (b *builder) affinityStep(a *specs.CPUAffinity) {
	switch {
	case a != nil && a.Final != "":
		b.add("process.execCPUAffinity.final", setAffinity{a.Final})
	case a == nil || a.Initial == "":
		b.add("", resetAffinity{})
	}
}

// setScheduler sets the scheduling policy and its parameters.
type setScheduler struct {
	Scheduler specs.Scheduler
	Outside   bool // the runtime does it
	Last      bool // for the process that enters a PID namespace last
}

func (s setScheduler) kind() kind {
	return kind{phaseIf(s.Last, phaseOwn, phaseLimits), "set scheduler", ""}
}

func (s setScheduler) String() string {
	a := &s.Scheduler
	text := "set scheduler " + string(a.Policy) + ", nice " + strconv.Itoa(int(a.Nice))
	switch {
	case a.Priority != 0:
		text += ", priority " + strconv.Itoa(int(a.Priority))
	case a.Policy == specs.SchedDeadline:
		text += ", runtime " + strconv.FormatUint(a.Runtime, 10) + " ns, deadline " + strconv.FormatUint(a.Deadline, 10) + " ns"
		if a.Period != 0 {
			text += ", period " + strconv.FormatUint(a.Period, 10) + " ns"
		}
	}
	for _, f := range a.Flags {
		text += ", " + string(f)
	}
	if s.Outside {
		text += ", by the runtime"
	}
	return text
}

func (s setScheduler) lower(l *lowering) {
	if s.Outside {
		l.rendezvous(MessageScheduler)
		return
	}
	if nice, separate := SeparateNice(&s.Scheduler); separate {
		l.call(unix.SYS_SETPRIORITY, nsenter.Int(unix.PRIO_PROCESS), nsenter.Int(0), nsenter.Int(nice))
	}
	a := SchedAttr(&s.Scheduler)
	attr := l.prog.Words(unix.SizeofSchedAttr|uint64(a.Policy)<<32, a.Flags, uint64(uint32(a.Nice))|uint64(a.Priority)<<32,
		a.Runtime, a.Deadline, a.Period, uint64(a.Util_min)|uint64(a.Util_max)<<32)
	l.call(unix.SYS_SCHED_SETATTR, nsenter.Int(0), attr, nsenter.Int(0))
}

// SeparateNice returns the nice value, and whether setpriority(2) must set it: sched_setattr
// ignores it for policies that do not use it. It takes effect as soon as the process changes to
// another policy.
func SeparateNice(s *specs.Scheduler) (nice int32, separate bool) {
	return s.Nice, s.Nice != 0 && s.Policy != specs.SchedOther && s.Policy != specs.SchedBatch
}

// SchedAttr returns the argument of sched_setattr(2).
func SchedAttr(s *specs.Scheduler) *unix.SchedAttr {
	policy, _ := specconv.SchedulerPolicy(s.Policy)
	attr := &unix.SchedAttr{Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period}
	for _, name := range s.Flags {
		flag, _ := specconv.SchedulerFlag(name)
		attr.Flags |= flag
	}
	return attr
}

// Scheduler returns what the runtime must set for [MessageScheduler], nil when the plan has no such
// message.
func (p *Plan) Scheduler() *specs.Scheduler {
	if a, _ := first[setScheduler](p); a.Outside {
		return &a.Scheduler
	}
	return nil
}

// SchedulerError returns the error, which wraps a [*StepError], for a call of the runtime that
// failed for [MessageScheduler].
func (p *Plan) SchedulerError(call string, errno unix.Errno) error {
	if _, i := first[setScheduler](p); i >= 0 {
		return p.stepError(i, title(p.Steps[i]), call, errno)
	}
	return errno
}

// inherited reports whether a child has its parent's scheduling attributes.
func inherited(s *specs.Scheduler) bool {
	return s.Policy != specs.SchedDeadline && SchedAttr(s).Flags&unix.SCHED_FLAG_RESET_ON_FORK == 0
}

// setIOPriority sets the process's I/O priority. The specification wants it for the process group,
// that is, for everything the process starts: these inherit it.
type setIOPriority struct {
	Class    specs.IOPriorityClass
	Priority int
	Early    bool // before a user namespace is joined
}

func (s setIOPriority) kind() kind {
	return kind{phaseIf(s.Early, phaseIsolate, phaseLimits), "set I/O priority", ""}
}
func (s setIOPriority) String() string {
	return "set I/O priority " + string(s.Class) + " " + strconv.Itoa(s.Priority)
}

func (s setIOPriority) lower(l *lowering) {
	// include/uapi/linux/ioprio.h
	const whoProcess, classShift = 1, 13
	class, _ := specconv.IOPriorityClass(s.Class)
	l.call(unix.SYS_IOPRIO_SET, nsenter.Int(whoProcess), nsenter.Int(0), nsenter.Int(class<<classShift|s.Priority))
}

// setMemoryPolicy sets the memory nodes from which the process gets its memory.
type setMemoryPolicy struct{ Policy specs.LinuxMemoryPolicy }

func (setMemoryPolicy) kind() kind { return kind{phaseLimits, "set memory policy", ""} }

func (s setMemoryPolicy) String() string {
	text := "set memory policy " + string(s.Policy.Mode)
	if s.Policy.Nodes != "" {
		text += ", nodes " + strings.TrimSuffix(s.Policy.Nodes, "\n")
	}
	for _, f := range s.Policy.Flags {
		text += ", " + string(f)
	}
	return text
}

func (s setMemoryPolicy) lower(l *lowering) {
	mode, _ := specconv.MemoryPolicyMode(s.Policy.Mode)
	for _, name := range s.Policy.Flags {
		flag, _ := specconv.MemoryPolicyFlag(name)
		mode |= flag
	}
	nodes := specconv.RangeMask(s.Policy.Nodes)
	if nodes == nil {
		l.call(unix.SYS_SET_MEMPOLICY, nsenter.Int(mode), nsenter.Int(0), nsenter.Int(0))
		return
	}
	// The kernel uses one bit less than the argument says (get_nodes in mm/mempolicy.c).
	l.call(unix.SYS_SET_MEMPOLICY, nsenter.Int(mode), l.prog.Words(nodes...), nsenter.Int(64*len(nodes)+1))
}

// isolateIOStep sets an I/O priority that needs a privilege which the process loses in a user
// namespace.
func (b *builder) isolateIOStep(io *specs.LinuxIOPriority) {
	if io != nil && b.inUser && io.Class == specs.IOPRIO_CLASS_RT {
		b.add("process.ioPriority", setIOPriority{io.Class, io.Priority, true})
	}
}

// schedulingSteps sets how the process is scheduled.
func (b *builder) schedulingSteps(p *specs.Process, memory *specs.LinuxMemoryPolicy) {
	if s := p.Scheduler; s != nil {
		// An ordinary user's runtime has no more privileges than the process, and fewer where the
		// process has another user ID.
		outside := b.inUser && !b.facts.Unprivileged && !b.facts.Nested
		if b.last && !inherited(s) {
			b.own = append(b.own, Step{"process.scheduler", setScheduler{*s, true, true}})
		} else {
			b.add("process.scheduler", setScheduler{*s, outside, false})
		}
	}
	if io := p.IOPriority; io != nil && !(b.inUser && io.Class == specs.IOPRIO_CLASS_RT) {
		b.add("process.ioPriority", setIOPriority{io.Class, io.Priority, false})
	}
	if memory != nil {
		b.add("linux.memoryPolicy", setMemoryPolicy{*memory})
	}
}
