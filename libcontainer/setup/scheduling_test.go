package setup

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/golden"
)

// realTime is an example with every kind of scheduling, of which an ordinary user could have none.
func realTime() *specs.Spec {
	s := specconv.Example()
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Nice: 3, Runtime: 1e6, Deadline: 2e6, Period: 3e6,
		Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim, specs.SchedFlagDLOverrun}}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 2}
	s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0,2-3"}
	s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred}
	return s
}

func TestSchedulingPlans(t *testing.T) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	inUser := realTime()
	inUser.Linux.Namespaces = append(inUser.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	inUser.Linux.UIDMappings, inUser.Linux.GIDMappings = ids, ids
	memory := &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	cases := []struct {
		name string
		make func() (*Plan, error)
	}{
		{"container", func() (*Plan, error) { return Container(parse(t, marshal(t, realTime())), Options{}, Facts{}) }},
		{"container in a user namespace", func() (*Plan, error) { return Container(parse(t, marshal(t, inUser)), Options{}, Facts{}) }},
		{"container of an ordinary user", func() (*Plan, error) {
			return Container(parse(t, marshal(t, inUser)), Options{}, Facts{UserFacts: UserFacts{Unprivileged: true}})
		}},
		{"exec", func() (*Plan, error) {
			return Exec(realTime().Process, Join{Namespaces: all, MemoryPolicy: memory, Personality: &specs.LinuxPersonality{Domain: specs.PerLinux}},
				Options{}, Facts{})
		}},
		{"exec in a user namespace", func() (*Plan, error) {
			return Exec(realTime().Process, Join{Namespaces: all | unix.CLONE_NEWUSER}, Options{}, Facts{UserFacts: UserFacts{Users: &IDMap{ids, ids}}})
		}},
	}
	text := ""
	for _, tc := range cases {
		p, err := tc.make()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		text += tc.name + "\n"
		for line := range strings.Lines(p.String()) {
			// Only the order among the steps that they depend on; other golden files have the rest
			// of the plan.
			for _, word := range []string{"scheduler", "I/O", "affinity", "memory policy", "personality", "isolate", "join", "clone", "session", "limit", "bounding"} {
				if strings.Contains(line, word) {
					text += line[3:]
					break
				}
			}
		}
	}
	golden.Check(t, "scheduling.golden", text)
}

// TestScheduler sets the policies that do not need real-time runtime in the cgroup, and reads them
// back.
func TestScheduler(t *testing.T) {
	for _, tc := range []struct {
		s    specs.Scheduler
		want unix.SchedAttr
	}{
		{specs.Scheduler{Policy: specs.SchedOther, Nice: 5}, unix.SchedAttr{Nice: 5}},
		{specs.Scheduler{Policy: specs.SchedBatch, Nice: -3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}},
			unix.SchedAttr{Policy: unix.SCHED_BATCH, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Nice: -3}},
		{specs.Scheduler{Policy: specs.SchedIdle, Nice: 19}, unix.SchedAttr{Policy: unix.SCHED_IDLE, Nice: 19}},
		{specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1e6, Deadline: 1e8},
			unix.SchedAttr{Policy: unix.SCHED_DEADLINE, Runtime: 1e6, Deadline: 1e8, Period: 1e8}},
	} {
		tr := newTrial(t, "true")
		tr.spec.Process.Scheduler = &tc.s
		tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
			got, err := unix.SchedGetAttr(p.Pid, 0)
			if err != nil {
				t.Fatal(err)
			}
			got.Size = 0
			if tc.want.Policy != unix.SCHED_DEADLINE {
				got.Runtime = 0 // the slice, since Linux 6.12
			}
			if got.Util_max == 1024 {
				got.Util_max = 0 // set where the kernel has utilization clamping
			}
			if *got != tc.want {
				t.Errorf("%v: %+v", tc.s, got)
			}
			return true
		}
		tr.out()
	}
}

// TestSchedulingRefused: an error for what the kernel refuses says why.
func TestSchedulingRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*specs.Spec)
		want   string
	}{
		{"policy", func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedISO} },
			"process.scheduler: set scheduler SCHED_ISO, nice 0: sched_setattr: invalid argument (Linux reserves a number for this policy but has never implemented it)"},
		{"deadline", func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1e6, Deadline: 1e15}
		}, "invalid argument (a period is bounded by"},
		{"no such node", func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1023"}
		}, "linux.memoryPolicy: set memory policy MPOL_BIND, nodes 1023: set_mempolicy: invalid argument (none of these nodes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTrial(t, "true")
			tc.change(tr.spec)
			_, err := tr.run()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%v is not EINVAL", err)
			}
		})
	}
}

// TestMemoryPolicy reads the policies of the process's memory back.
func TestMemoryPolicy(t *testing.T) {
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("a kernel without NUMA: ", err)
	}
	for _, tc := range []struct {
		m    specs.LinuxMemoryPolicy
		want string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, " default "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, " bind=static:0 "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}, " interleave:0 "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFRelativeNodes}}, " prefer=relative:0 "},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal}, " local "},
	} {
		tr := newTrial(t, "cat /proc/self/numa_maps")
		tr.spec.Linux.MemoryPolicy = &tc.m
		contains(t, tr.out(), tc.want)
	}
}
