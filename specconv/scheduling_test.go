package specconv

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSchedulerFaults(t *testing.T) {
	const path = "process.scheduler."
	cases := []struct {
		s    specs.Scheduler
		want []string
	}{
		{specs.Scheduler{Policy: specs.SchedOther, Nice: -20}, nil},
		{specs.Scheduler{Policy: specs.SchedISO}, nil}, // the kernel's to refuse
		{specs.Scheduler{Policy: specs.SchedFIFO, Priority: 99, Nice: 19, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, nil},
		{specs.Scheduler{Policy: specs.SchedRR}, []string{path + "priority: must be from 1 to 99, not 0"}},
		{specs.Scheduler{Policy: specs.SchedBatch, Priority: 1, Period: 5},
			[]string{path + "priority: is only for SCHED_FIFO and SCHED_RR", path + "period: is only for SCHED_DEADLINE"}},
		{specs.Scheduler{Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagUtilClampMin}}, []string{
			"warning: " + path + "flags[1]: the specification has no value for SCHED_FLAG_UTIL_CLAMP_MIN: it is 0",
			"note: " + path + "flags[0]: SCHED_FLAG_RECLAIM has no effect without SCHED_DEADLINE"}},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1024, Deadline: 1024, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagDLOverrun}}, nil},
		{specs.Scheduler{Policy: specs.SchedDeadline}, []string{
			path + "runtime: must be at least 1024 ns for SCHED_DEADLINE, not 0", path + "deadline: is required for SCHED_DEADLINE"}},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 3000, Deadline: 2000, Period: 1000}, []string{
			path + "runtime: 3000 is greater than deadline, 2000", path + "deadline: 2000 is greater than period, 1000"}},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2000, Deadline: 3000, Period: 1 << 63}, []string{path + "period: must be less than 2^63 ns"}},
		{specs.Scheduler{}, []string{path + "policy: is required: one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE"}},
	}
	for _, tc := range cases {
		expect(t, func(s *specs.Spec) { s.Process.Scheduler = &tc.s }, tc.want...)
	}
}

func TestMemoryPolicyFaults(t *testing.T) {
	const path = "linux.memoryPolicy."
	type flags = []specs.MemoryPolicyFlagType
	cases := []struct {
		m    specs.LinuxMemoryPolicy
		want []string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, nil},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred}, nil},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-3,7", Flags: flags{specs.MpolFNumaBalancing, specs.MpolFStaticNodes}}, nil},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}, []string{path + "nodes: must be empty for MPOL_LOCAL"}},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolWeightedInterleave}, []string{path + "nodes: is required for MPOL_WEIGHTED_INTERLEAVE"}},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferredMany, Nodes: "3-"},
			[]string{path + `nodes: must be a list of numbers and ranges such as 0-3,7, not "3-"`}},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0", Flags: flags{specs.MpolFNumaBalancing}},
			[]string{path + "flags[0]: MPOL_F_NUMA_BALANCING is only for MPOL_BIND and MPOL_PREFERRED_MANY"}},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: flags{specs.MpolFRelativeNodes, specs.MpolFStaticNodes}},
			[]string{path + "flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"}},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Flags: flags{specs.MpolFStaticNodes}},
			[]string{path + "flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes"}},
		{specs.LinuxMemoryPolicy{Flags: flags{specs.MpolFStaticNodes}}, []string{
			path + "mode: is required: one of MPOL_DEFAULT, MPOL_BIND, MPOL_INTERLEAVE, MPOL_WEIGHTED_INTERLEAVE, MPOL_PREFERRED, MPOL_PREFERRED_MANY, MPOL_LOCAL"}},
	}
	for _, tc := range cases {
		expect(t, func(s *specs.Spec) { s.Linux.MemoryPolicy = &tc.m }, tc.want...)
	}
}

func TestRangeMask(t *testing.T) {
	for s, want := range map[string][]uint64{
		"0": {1}, "0-3,7": {0x8f}, "1, 63-64\n": {1<<63 | 2, 1}, "128": {0, 0, 1}, "": nil, "3-1": nil, "65536": nil, "a": nil, "0,": nil, "2": {4}, "3-x": nil,
	} {
		if got := RangeMask(s); !slices.Equal(got, want) {
			t.Errorf("%q: %x, want %x", s, got, want)
		}
	}
}
