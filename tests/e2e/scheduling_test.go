package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// execFile writes a process for exec --process: the container's own, changed.
func execFile(t *testing.T, b *harness.Box, change func(*specs.Process)) string {
	t.Helper()
	p := *b.Spec.Process
	change(&p)
	data, err := json.Marshal(p)
	must(t, err)
	path := filepath.Join(b.Dir, "process.json")
	must(t, os.WriteFile(path, data, 0o644))
	return path
}

// execPid starts a process that sleeps and returns its PID.
func execPid(t *testing.T, b *harness.Box, args ...string) int {
	t.Helper()
	file := filepath.Join(b.Dir, "pid")
	b.OK(append([]string{"exec", "--detach", "--pid-file", file}, args...)...)
	pid, err := strconv.Atoi(read(t, file))
	must(t, err)
	return pid
}

// attributes reads the scheduling attributes of a process.
func attributes(t *testing.T, pid int) unix.SchedAttr {
	t.Helper()
	a, err := unix.SchedGetAttr(pid, 0)
	must(t, err)
	a.Size, a.Util_min, a.Util_max = 0, 0, 0
	if a.Policy != unix.SCHED_DEADLINE {
		a.Runtime = 0 // the slice, since Linux 6.12
	}
	return *a
}

// users are the possible user namespaces of a container: the host's, or one of its own.
func users() map[string]func(*specs.Spec) {
	return map[string]func(*specs.Spec){"": nop, " in a user namespace": withUser(shifted())}
}

// TestScheduler: policies, including those that need privileges on the host, for the container's
// process and those that join it.
func TestScheduler(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.2")
	cases := []struct {
		name string
		s    specs.Scheduler
		want unix.SchedAttr
	}{
		{"nice", specs.Scheduler{Policy: specs.SchedOther, Nice: -7}, unix.SchedAttr{Nice: -7}},
		{"batch", specs.Scheduler{Policy: specs.SchedBatch, Nice: 6}, unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: 6}},
		{"idle", specs.Scheduler{Policy: specs.SchedIdle, Nice: -2}, unix.SchedAttr{Policy: unix.SCHED_IDLE, Nice: -2}},
		{"deadline", specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2e7, Deadline: 5e7, Period: 1e8,
			Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagReclaim}},
			unix.SchedAttr{Policy: unix.SCHED_DEADLINE, Flags: unix.SCHED_FLAG_RESET_ON_FORK | unix.SCHED_FLAG_RECLAIM,
				Runtime: 2e7, Deadline: 5e7, Period: 1e8}},
	}
	for in, user := range users() {
		for _, tc := range cases {
			t.Run(tc.name+in, func(t *testing.T) {
				b := harness.New(t, user)
				own(t, b, 100000)
				b.Spec.Process.Scheduler = &tc.s
				pid := b.Up()
				if got := attributes(t, pid); got != tc.want {
					t.Errorf("got %+v, want %+v", got, tc.want)
				}
				if got := attributes(t, execPid(t, b, b.ID, "sleep", "1000")); got != tc.want {
					t.Errorf("exec: got %+v, want %+v", got, tc.want)
				}
			})
		}
	}
}

// TestRealTime: if the kernel has real-time group scheduling, a v1 cgroup needs some real-time
// runtime for the policies that use it.
func TestRealTime(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.2")
	runtime, period := int64(20000), uint64(1000000)
	file := filepath.Join(harness.CgroupMount("cpu"), harness.CgroupParent(), "cpu.rt_runtime_us")
	_, err := os.Stat(filepath.Join(harness.CgroupMount("cpu"), "cpu.rt_runtime_us"))
	grouped := harness.CgroupMount("cpu") != "" && err == nil
	change := func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedRR, Priority: 9, Nice: 4}
		if grouped {
			s.Linux.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: &runtime, RealtimePeriod: &period}
		}
	}
	for in, user := range users() {
		t.Run("given"+in, func(t *testing.T) {
			b := harness.New(t, user, change)
			own(t, b, 100000)
			if grouped { // and so do its parents
				must(t, os.MkdirAll(filepath.Dir(file), 0o755))
				must(t, os.WriteFile(file, []byte("50000"), 0))
			}
			pid := b.Up()
			want := unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 9}
			for _, pid := range []int{pid, execPid(t, b, b.ID, "sleep", "1000")} {
				if got := attributes(t, pid); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				// The kernel only shows the nice value of a real-time process, which it later gets
				// back, here.
				if stat := strings.Fields(read(t, "/proc/"+strconv.Itoa(pid)+"/stat")); stat[18] != "4" {
					t.Errorf("nice %s, want 4", stat[18])
				}
			}
		})
		t.Run("lacking"+in, func(t *testing.T) {
			if !grouped {
				t.Skip("no cgroup v1 with real-time group scheduling")
			}
			b := harness.New(t, user, change)
			own(t, b, 100000)
			b.Spec.Linux.Resources.CPU = nil
			r := b.Run().Fails(b, "process.scheduler: set scheduler SCHED_RR, nice 4, priority 9")
			for _, text := range []string{"sched_setattr: operation not permitted", "linux.resources.cpu.realtimeRuntime"} {
				if !strings.Contains(r.Stderr, text) {
					t.Errorf("no %q in %s", text, r.Stderr)
				}
			}
			b.CheckClean()
		})
	}
}

// TestIOPriority: every class, inherited by the process's children.
func TestIOPriority(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.2")
	priority := func(pid int) int {
		const whoProcess = 1
		n, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(pid), 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return int(n)
	}
	for in, user := range users() {
		for class, number := range map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3} {
			t.Run(string(class)+in, func(t *testing.T) {
				b := harness.New(t, user)
				own(t, b, 100000)
				b.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: class, Priority: 5}
				pid, want := b.Up(), number<<13|5
				pids := map[string]int{"first": pid, "its child": childOf(t, pid, "sleep"), "exec": execPid(t, b, b.ID, "sleep", "1000")}
				for name, pid := range pids {
					if got := priority(pid); got != want {
						t.Errorf("%s: got %#x, want %#x", name, got, want)
					}
				}
			})
		}
	}
}

const allowedCPUs = "sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status"

// TestExecCPUAffinity: for processes that join, and not for the container's first.
func TestExecCPUAffinity(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.3")
	own := strings.TrimSpace(hostStatus(t, "Cpus_allowed_list"))
	if own != "0-1" && !strings.HasPrefix(own, "0-") {
		t.Skip("needs the processors 0 and 1, has " + own)
	}
	for in, user := range users() {
		t.Run("affinity"+in, func(t *testing.T) {
			b := harness.New(t, user)
			b.Spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "1"}
			pid := b.Up()
			if got := statusOf(t, pid, "Cpus_allowed_list"); got != own {
				t.Errorf("the first process is on %s, want %s", got, own)
			}
			if got := b.OK("exec", b.ID, "sh", "-c", allowedCPUs); got != "1\n" {
				t.Errorf("exec: got %q, want 1", got)
			}
			for _, tc := range []struct {
				a    *specs.CPUAffinity
				want string
			}{
				{nil, own}, {&specs.CPUAffinity{}, own}, {&specs.CPUAffinity{Final: "0"}, "0"}, {&specs.CPUAffinity{Initial: "1", Final: "0-1,1023"}, "0-1"},
			} {
				file := execFile(t, b, func(p *specs.Process) {
					p.Args, p.ExecCPUAffinity = []string{"sh", "-c", allowedCPUs}, tc.a
				})
				if got := strings.TrimSpace(b.OK("exec", "--process", file, b.ID)); got != tc.want {
					t.Errorf("%+v: got %q, want %s", tc.a, got, tc.want)
				}
			}
		})
	}
}

// TestExecCPUAffinityInitial: without a final affinity it is what the kernel derives from the
// initial one and the cgroup's processors.
func TestExecCPUAffinityInitial(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.3")
	run := func(t *testing.T, b *harness.Box, a specs.CPUAffinity, want string) {
		t.Helper()
		file := execFile(t, b, func(p *specs.Process) { p.Args, p.ExecCPUAffinity = []string{"sh", "-c", allowedCPUs}, &a })
		if got := strings.TrimSpace(b.OK("exec", "--process", file, b.ID)); got != want {
			t.Errorf("%+v: got %q, want %s", a, got, want)
		}
	}
	t.Run("free", func(t *testing.T) {
		b := harness.New(t)
		b.Up()
		run(t, b, specs.CPUAffinity{Initial: "0"}, "0")
	})
	t.Run("cpuset", func(t *testing.T) {
		b := harness.New(t)
		b.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "1"}
		b.Up()
		run(t, b, specs.CPUAffinity{Initial: "0"}, "1")
		file := execFile(t, b, func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Final: "0"} })
		b.Fails("process.execCPUAffinity.final: set affinity to processors 0: sched_setaffinity: invalid argument", "exec", "--process", file, b.ID)
		file = execFile(t, b, func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1023"} })
		b.Fails("process.execCPUAffinity.initial: set affinity to processors 1023: sched_setaffinity: invalid argument", "exec", "--process", file, b.ID)
	})
	t.Run("paused", func(t *testing.T) {
		b := harness.New(t)
		b.Up()
		b.OK("pause", b.ID)
		lines := b.Lines()
		file := execFile(t, b, func(p *specs.Process) {
			p.Args, p.ExecCPUAffinity = []string{"sh", "-c", allowedCPUs}, &specs.CPUAffinity{Initial: "1"}
		})
		c := b.Cmd("exec", "--ignore-paused", "--process", file, b.ID)
		c.Stdout = lines.Writer
		p := c.Start()
		lines.Writer.Close()
		b.OK("resume", b.ID)
		if got := lines.Next(); got != "1" {
			t.Errorf("got %q, want 1", got)
		}
		p.Wait().OK(b)
	})
}

// statusOf returns a field of /proc/PID/status.
func statusOf(t *testing.T, pid int, name string) string {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc/"+strconv.Itoa(pid)+"/status")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s of process %d", name, pid)
	return ""
}

func hostStatus(t *testing.T, name string) string { return statusOf(t, os.Getpid(), name) }

// TestMemoryPolicy: for the container's process and those that join it.
func TestMemoryPolicy(t *testing.T) {
	harness.OrlopOnly(t, "runc has it since 1.4")
	if _, err := os.Stat("/proc/self/numa_maps"); err != nil {
		t.Skip("a kernel without NUMA: ", err)
	}
	for in, user := range users() {
		t.Run("bind"+in, func(t *testing.T) {
			b := harness.New(t, user)
			b.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
			pid := b.Up()
			for _, pid := range []int{pid, execPid(t, b, b.ID, "sleep", "1000")} {
				if got := read(t, "/proc/"+strconv.Itoa(pid)+"/numa_maps"); !strings.Contains(got, " bind=static:0 ") {
					t.Errorf("process %d: %s", pid, got)
				}
			}
		})
	}
	t.Run("no such node", func(t *testing.T) {
		b := harness.New(t)
		b.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "900"}
		b.Run().Fails(b, "linux.memoryPolicy: set memory policy MPOL_INTERLEAVE, nodes 900: set_mempolicy: invalid argument")
		b.CheckClean()
	})
}

// TestPersonality: for the container's process and those that join it.
func TestPersonality(t *testing.T) {
	for domain, want := range map[specs.LinuxPersonalityDomain]string{specs.PerLinux: "00000000\n", specs.PerLinux32: "00000008\n"} {
		t.Run(string(domain), func(t *testing.T) {
			harness.OrlopOnly(t, "runc has it since 1.2")
			b := harness.New(t, withUser(shifted()))
			own(t, b, 100000)
			b.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: domain}
			pid := b.Up()
			for _, pid := range []int{pid, execPid(t, b, b.ID, "sleep", "1000")} {
				if got := read(t, "/proc/"+strconv.Itoa(pid)+"/personality"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestSchedulingOrdinary: what an ordinary user may do, and errors that name the missing privilege
// for the rest.
func TestSchedulingOrdinary(t *testing.T) {
	flags := []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}
	t.Run("allowed", func(t *testing.T) {
		b := harness.New(t)
		asOrdinary(t, b)
		b.Spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5, Flags: flags}
		b.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		b.Spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
		b.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
		b.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		pid, want := b.Up(), unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: 5, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
		joined := execPid(t, b, b.ID, "sleep", "1000")
		if got := statusOf(t, joined, "Cpus_allowed_list"); got != "0" {
			t.Errorf("affinity %s", got)
		}
		for _, pid := range []int{pid, joined} {
			if got := attributes(t, pid); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got := read(t, "/proc/"+strconv.Itoa(pid)+"/personality"); got != "00000008\n" {
				t.Errorf("personality %q", got)
			}
		}
	})
	for name, tc := range map[string]struct {
		change func(*specs.Process)
		want   string
	}{
		"nice": {func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -1} },
			"process.scheduler: set scheduler SCHED_OTHER, nice -1: sched_setattr: operation not permitted " +
				"(needs CAP_SYS_NICE in the initial user namespace or RLIMIT_NICE)"},
		"idle and nice": {func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Nice: -1} },
			"process.scheduler: set scheduler SCHED_IDLE, nice -1: setpriority: permission denied " +
				"(needs CAP_SYS_NICE in the initial user namespace or RLIMIT_NICE)"},
		"real-time": {func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1} },
			"sched_setattr: operation not permitted (needs CAP_SYS_NICE in the initial user namespace or RLIMIT_RTPRIO"},
		"deadline": {func(p *specs.Process) {
			p.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1e6, Deadline: 1e8}
		}, "sched_setattr: operation not permitted (needs CAP_SYS_NICE in the initial user namespace, and a cpuset"},
		"I/O": {func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT} },
			"process.ioPriority: set I/O priority IOPRIO_CLASS_RT 0: ioprio_set: operation not permitted " +
				"(needs CAP_SYS_ADMIN or CAP_SYS_NICE in the initial user namespace)"},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t)
			asOrdinary(t, b)
			tc.change(b.Spec.Process)
			b.Run().Fails(b, tc.want)
			b.CheckClean()
		})
	}
}

// TestCallersScheduling: the container's processes have the timer slack of the runtime's caller,
// although the runtime's threads change theirs for a while. The caller's affinity applies to none
// of them: their processors are those of the cpuset.
func TestCallersScheduling(t *testing.T) {
	harness.OrlopOnly(t, "runc leaves the caller's processors alone since 1.2.8")
	const slack = 123456
	const script = "cat /proc/self/timerslack_ns; " + allowedCPUs
	all := strings.TrimSpace(hostStatus(t, "Cpus_allowed_list"))
	first := strconv.Itoa(firstCPU(t))
	taskset := []string{"taskset", "--cpu-list", first}
	cpuset := func(cpus string) func(*testing.T, *harness.Box) {
		return func(_ *testing.T, b *harness.Box) { b.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: cpus} }
	}
	for _, tc := range []struct {
		name   string
		wrap   []string
		change func(*testing.T, *harness.Box)
		want   string
	}{
		{"free", nil, func(*testing.T, *harness.Box) {}, all},
		{"kept", taskset, func(*testing.T, *harness.Box) {}, all},
		{"kept, a cpuset", taskset, cpuset(first), first},
		{"kept, a wide cpuset", taskset, cpuset(all), all},
		{"kept, a user namespace", taskset, func(t *testing.T, b *harness.Box) {
			withUser(shifted())(b.Spec)
			own(t, b, 100000)
		}, all},
		{"kept, an ordinary user", taskset, asOrdinaryIn, all},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runtime.LockOSThread() // never unlocked: the thread exits with the test
			must(t, unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0))
			want := fmt.Sprintf("%d\n%s\n", slack, tc.want)
			b := harness.New(t)
			tc.change(t, b)
			b.Wrap = append(tc.wrap, b.Wrap...)
			if got := b.Sh(script); got != want {
				t.Errorf("run: got %q, want %q", got, want)
			}
			pid := b.Up()
			if got := statusOf(t, pid, "Cpus_allowed_list"); got != tc.want {
				t.Errorf("create: got %q, want %q", got, tc.want)
			}
			if got := b.OK("exec", b.ID, "sh", "-c", script); got != want {
				t.Errorf("exec: got %q, want %q", got, want)
			}
			file := execFile(t, b, func(p *specs.Process) {
				p.Args, p.ExecCPUAffinity = []string{"sh", "-c", allowedCPUs}, &specs.CPUAffinity{Initial: first}
			})
			if got := b.OK("exec", "--process", file, b.ID); got != first+"\n" {
				t.Errorf("exec with an initial affinity: got %q, want %q", got, first)
			}
		})
	}
}

// TestHooksSlack: hooks of each kind have the caller's timer slack, too.
func TestHooksSlack(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others do not change their timers")
	const slack = 123456
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			runtime.LockOSThread() // never unlocked: the thread exits with the test
			must(t, unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0))
			b := harness.New(t)
			log := logged(b)
			addHook(b, kind, "cat > /dev/null; cat /proc/self/timerslack_ns > "+log)
			b.Spec.Process.Args = []string{"/bin/true"}
			b.Write()
			b.OK("create", "--bundle", b.Bundle, b.ID)
			b.OK("start", b.ID)
			b.OK("delete", "--force", b.ID)
			if got := read(t, log); got != "123456\n" {
				t.Errorf("got %q, want %d", got, slack)
			}
		})
	}
}

// asOrdinaryIn is asOrdinary for a table.
func asOrdinaryIn(t *testing.T, b *harness.Box) { asOrdinary(t, b) }
