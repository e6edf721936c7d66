package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// schedulerPolicies is the table of sched_setattr(2)'s policies. SCHED_ISO has a number, but no
// kernel implements it.
var schedulerPolicies = vocabulary[specs.LinuxSchedulerPolicy, uint32]{
	{specs.SchedOther, unix.SCHED_NORMAL},
	{specs.SchedFIFO, unix.SCHED_FIFO},
	{specs.SchedRR, unix.SCHED_RR},
	{specs.SchedBatch, unix.SCHED_BATCH},
	{specs.SchedISO, 4},
	{specs.SchedIdle, unix.SCHED_IDLE},
	{specs.SchedDeadline, unix.SCHED_DEADLINE},
}

// schedulerFlags is the table of sched_setattr(2)'s flags.
var schedulerFlags = vocabulary[specs.LinuxSchedulerFlag, uint64]{
	{specs.SchedFlagResetOnFork, unix.SCHED_FLAG_RESET_ON_FORK},
	{specs.SchedFlagReclaim, unix.SCHED_FLAG_RECLAIM},
	{specs.SchedFlagDLOverrun, unix.SCHED_FLAG_DL_OVERRUN},
	{specs.SchedFlagKeepPolicy, unix.SCHED_FLAG_KEEP_POLICY},
	{specs.SchedFlagKeepParams, unix.SCHED_FLAG_KEEP_PARAMS},
	{specs.SchedFlagUtilClampMin, unix.SCHED_FLAG_UTIL_CLAMP_MIN},
	{specs.SchedFlagUtilClampMax, unix.SCHED_FLAG_UTIL_CLAMP_MAX},
}

// ioPriorityClasses is the table of ioprio_set(2)'s classes.
var ioPriorityClasses = vocabulary[specs.IOPriorityClass, int]{
	{specs.IOPRIO_CLASS_RT, 1},
	{specs.IOPRIO_CLASS_BE, 2},
	{specs.IOPRIO_CLASS_IDLE, 3},
}

// SchedulerPolicy returns the number of a scheduling policy by name, and whether the name is known.
func SchedulerPolicy(name specs.LinuxSchedulerPolicy) (uint32, bool) {
	return schedulerPolicies.value(name)
}

// SchedulerFlag returns a scheduling flag by name, and whether the name is known.
func SchedulerFlag(name specs.LinuxSchedulerFlag) (uint64, bool) { return schedulerFlags.value(name) }

// IOPriorityClass returns the number of an I/O priority class by name, and whether the name is
// known.
func IOPriorityClass(name specs.IOPriorityClass) (int, bool) { return ioPriorityClasses.value(name) }

// ioPriority checks process.ioPriority.
func (c *checker) ioPriority(io *specs.LinuxIOPriority) {
	if io == nil {
		return
	}
	if _, ok := IOPriorityClass(io.Class); !ok {
		c.fault("process.ioPriority.class", oneOf(string(io.Class), ioPriorityClasses.names()...))
	}
	if io.Priority < 0 || io.Priority > 7 {
		c.fault("process.ioPriority.priority", "must be from 0 to 7, not "+strconv.Itoa(io.Priority))
	}
}

// affinity checks process.execCPUAffinity.
func (c *checker) affinity(a *specs.CPUAffinity) {
	if a != nil {
		c.ranges("process.execCPUAffinity.initial", a.Initial)
		c.ranges("process.execCPUAffinity.final", a.Final)
	}
}

// scheduler checks process.scheduler, with the rules of sched_setattr(2).
func (c *checker) scheduler(s *specs.Scheduler) {
	if s == nil {
		return
	}
	if _, ok := SchedulerPolicy(s.Policy); !ok {
		c.fault("process.scheduler.policy", oneOf(string(s.Policy), schedulerPolicies.names()...))
	}
	if s.Nice < -20 || s.Nice > 19 {
		c.fault("process.scheduler.nice", "must be from -20 to 19, not "+strconv.Itoa(int(s.Nice)))
	}
	switch realTime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR; {
	case !realTime && s.Priority != 0:
		c.fault("process.scheduler.priority", "is only for SCHED_FIFO and SCHED_RR")
	case realTime && (s.Priority < 1 || s.Priority > 99):
		c.fault("process.scheduler.priority", "must be from 1 to 99, not "+strconv.Itoa(int(s.Priority)))
	}
	c.schedulerFlags(s)
	c.deadline(s)
}

// schedulerFlags checks process.scheduler.flags. Flags that the kernel ignores are not a fault.
func (c *checker) schedulerFlags(s *specs.Scheduler) {
	for i, name := range s.Flags {
		here := jsonpath.Index("process.scheduler.flags", i)
		flag, ok := SchedulerFlag(name)
		switch {
		case !ok:
			c.fault(here, oneOf(string(name), schedulerFlags.names()...))
		case flag&(unix.SCHED_FLAG_RECLAIM|unix.SCHED_FLAG_DL_OVERRUN) != 0 && s.Policy != specs.SchedDeadline:
			c.note(here, string(name)+" has no effect without SCHED_DEADLINE")
		case flag&unix.SCHED_FLAG_UTIL_CLAMP != 0:
			c.warn(here, "the specification has no value for "+string(name)+": it is 0")
		}
	}
}

// deadline checks the times of SCHED_DEADLINE like the kernel's __checkparam_dl. It does not check
// the bounds of a period, which a sysctl sets.
func (c *checker) deadline(s *specs.Scheduler) {
	const (
		path = "process.scheduler."
		// DL_SCALE: the kernel rounds shorter runtimes to 0.
		least = 1 << 10
		most  = 1<<63 - 1
	)
	times := [...]struct {
		path  string
		value uint64
	}{
		{path + "runtime", s.Runtime}, {path + "deadline", s.Deadline}, {path + "period", s.Period},
	}
	for _, t := range times {
		switch {
		case t.value != 0 && s.Policy != specs.SchedDeadline:
			c.fault(t.path, "is only for SCHED_DEADLINE")
		case t.value > most:
			c.fault(t.path, "must be less than 2^63 ns")
		}
	}
	if s.Policy != specs.SchedDeadline {
		return
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	if s.Runtime < least {
		c.fault(path+"runtime", "must be at least "+number(least)+" ns for SCHED_DEADLINE, not "+number(s.Runtime))
	}
	switch {
	case s.Deadline == 0:
		c.fault(path+"deadline", "is required for SCHED_DEADLINE")
	case s.Runtime > s.Deadline:
		c.fault(path+"runtime", number(s.Runtime)+" is greater than deadline, "+number(s.Deadline))
	}
	if s.Period != 0 && s.Deadline > s.Period {
		c.fault(path+"deadline", number(s.Deadline)+" is greater than period, "+number(s.Period))
	}
}
