package setup

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// TestFilterBeforeEntry: the filter is loaded before the process enters the PID namespace, if it
// allows the steps after that.
func TestFilterBeforeEntry(t *testing.T) {
	plain := func(*specs.Process) {}
	terminal := func(p *specs.Process) { p.Terminal = true }
	privileged := func(p *specs.Process) { p.NoNewPrivileges = false }
	limited := func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: 9, Hard: 9}} }
	deadline := func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline} }
	for _, tc := range []struct {
		name   string
		denied []uintptr
		notify bool
		change func(*specs.Process)
		hook   *specs.Hook
		first  bool
	}{
		{"all allowed", nil, false, plain, nil, true},
		{"no clone", []uintptr{unix.SYS_CLONE}, false, plain, nil, false},
		{"no session", []uintptr{unix.SYS_SETSID}, false, plain, nil, false},
		{"no ioctl", []uintptr{unix.SYS_IOCTL}, false, plain, nil, true},
		{"no ioctl, a terminal", []uintptr{unix.SYS_IOCTL}, false, terminal, nil, false},
		{"no capset", []uintptr{unix.SYS_CAPSET}, false, plain, nil, true},
		{"no prlimit64", []uintptr{unix.SYS_PRLIMIT64}, false, plain, nil, true},
		{"no prlimit64, a limit of processes", []uintptr{unix.SYS_PRLIMIT64}, false, limited, nil, false},
		{"no read, a deadline", []uintptr{unix.SYS_READ}, false, deadline, nil, false},
		{"no prctl, a hook", []uintptr{unix.SYS_PRCTL}, false, plain, &specs.Hook{Path: "/x"}, false},
		{"an agent", nil, true, privileged, nil, true},
		{"no close, an agent", []uintptr{unix.SYS_CLOSE}, true, privileged, nil, false},
	} {
		f := &SeccompFilter{Answers: make(map[uintptr]uint32), Notify: tc.notify}
		for _, c := range FilteredCalls() {
			f.Answers[c.Number] = unix.SECCOMP_RET_ALLOW
			if slices.Contains(tc.denied, c.Number) {
				f.Answers[c.Number] = unix.SECCOMP_RET_ERRNO
			}
		}
		process := *specconv.Example().Process
		process.Terminal = false
		tc.change(&process)
		plan, err := Exec(&process, Join{Namespaces: all}, Options{Hook: tc.hook}, Facts{Seccomp: f})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if err := plan.Verify(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		load, enter := index[loadSeccomp](t, plan), index[cloneChild](t, plan)
		if first := load < enter; first != tc.first {
			t.Errorf("%s: loaded first: %v, want %v", tc.name, first, tc.first)
		}
		if said := plan.SaidLast(MessageSeccomp); said != (tc.notify && !tc.first) {
			t.Errorf("%s: the second process may send a listener: %v", tc.name, said)
		}
		if plan.SaidLast(MessageHome) {
			t.Errorf("%s: the second process may ask for HOME", tc.name)
		}
	}
}
