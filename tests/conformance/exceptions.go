package main

import (
	"fmt"
	"slices"
	"strings"
)

// kind is why an assertion cannot hold for a runtime that follows the specification.
type kind string

const (
	contradicts kind = "contradicts the specification"
	faulty      kind = "the test is wrong"
	aged        kind = "the test is older than the kernel, or than Go"
	racy        kind = "the test does not wait"
	machine     kind = "this machine"
)

// exception is an assertion of the suite that is expected to fail. exceptions.md has a section for
// each, with the specification's text, what the test does, and what the runtimes do.
type exception struct {
	Test      string
	Assertion string
	Detail    string // part of the failure's text, in any case: it may fail only in this way
	Times     int    // how often it fails in the program
	Kind      kind
	Why       string // for the tables, on one line
	// Either: the outcome is random.
	Either bool
}

// exceptions lists the assertions that are expected to fail on this host.
//
// long: a table
func exceptions(h host) []exception {
	const (
		pids      = "pids limit is set correctly"
		pidsWhy   = "compares two pointers instead of the limits"
		leaf      = "blkio.leaf_weight"
		leafWhy   = "sets blkio.leaf_weight, which the kernel removed with CFQ (5.0)"
		kernel    = "memory kernel is set correctly"
		kernelWhy = "limits kernel memory, which the kernel no longer supports (5.16)"
	)
	list := []exception{
		{Test: "delete_resources", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "hooks", Assertion: saysNone, Detail: "in the listed order", Times: 1, Kind: faulty,
			Why: "expects other text than its own hooks write, and would panic if it found that text"},
		{Test: "linux_cgroups_blkio", Assertion: endsWell, Detail: leaf, Times: 1, Kind: aged, Why: leafWhy},
		{Test: "linux_cgroups_memory", Assertion: kernel, Detail: "actual: 9223372036854771712", Times: 6, Kind: aged, Why: kernelWhy},
		{Test: "linux_cgroups_pids", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "linux_cgroups_relative_blkio", Assertion: "exit status 1", Detail: leaf, Times: 1, Kind: aged, Why: leafWhy},
		{Test: "linux_cgroups_relative_memory", Assertion: kernel, Detail: "actual: 9223372036854771712", Times: 1, Kind: aged, Why: kernelWhy},
		{Test: "linux_cgroups_relative_pids", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "linux_process_apparmor_profile", Assertion: endsWell, Detail: "AppArmor", Times: 1, Kind: faulty,
			Why: "asks for a profile that does not exist, and expects no error"},
		{Test: "linux_seccomp", Assertion: endsEarly, Detail: "getwd: operation not permitted", Times: 1, Kind: faulty,
			Why: "forbids getcwd, which runtimetest calls: runtimetest exits before it has made most of its checks"},
		{Test: "misc_props", Assertion: "implementations that are reading/processing this configuration file MUST NOT generate an error if they" +
			" encounter an unknown annotation key", Detail: "/runtimetest", Times: 1, Kind: faulty, Why: "runs /runtimetest, which it did not copy there"},
		{Test: "pidfile", Assertion: "create with '--pid-file' option works", Detail: "not running", Times: 1, Kind: racy, Either: true,
			Why: "kills a process that may have exited, and expects no error"},
		{Test: "poststart", Assertion: saysNone, Detail: "MUST be called after the user-specified process is executed", Times: 1, Kind: racy, Either: true,
			Why: "expects the program to write before the hook, which is called as soon as the program is executed"},
		{Test: "poststart_fail", Assertion: saysNone, Detail: "if any poststart hook fails", Times: 1, Kind: contradicts,
			Why: "expects a warning where the specification requires an error (1.3.0)"},
		{Test: "prestart", Assertion: saysNone, Detail: "after the `start` operation is called", Times: 1, Kind: contradicts,
			Why: "expects the hooks at start where the specification requires them at create (1.1.0)"},
		{Test: "process_capabilities_fail", Assertion: endsWell, Detail: "cannot be mapped", Times: 1, Kind: contradicts,
			Why: "expects an error for an unknown capability where the specification requires a warning (1.1.0)"},
		{Test: "process_rlimits", Assertion: "has expected soft RLIMIT_NOFILE", Detail: `"actual": 3999`, Times: 1, Kind: aged,
			Why: "reads a limit that Go's runtime has raised in runtimetest itself (Go 1.19)"},
		{Test: "start", Assertion: "`start` operation MUST generate an error if `process` was not set", Times: 1, Kind: contradicts,
			Why: "expects no error, against the specification and its own text"},
	}
	for _, name := range h.Lacking {
		for _, set := range []string{"bounding", "effective", "inheritable", "permitted", "ambient"} {
			list = append(list, exception{Test: "process_capabilities", Assertion: "expected " + set + " capability " + name + " set", Times: 1,
				Kind: machine, Why: "needs " + name + ", which root lacks here"})
		}
	}
	return list
}

// expect compares a result with the exceptions, marks the assertions that were expected to fail,
// and records what is unexpected.
func expect(r *result, list []exception) {
	var problems []string
	of := slices.DeleteFunc(slices.Clone(list), func(e exception) bool { return e.Test != r.Test })
	for i := range r.Assertions {
		a := &r.Assertions[i]
		if !a.failed() {
			continue
		}
		e := slices.IndexFunc(of, func(e exception) bool {
			return e.Times > 0 && e.Assertion == a.Name && strings.Contains(strings.ToLower(a.Detail+"\n"+r.Stderr), strings.ToLower(e.Detail))
		})
		if e < 0 {
			problems = append(problems, strings.TrimSpace(a.Name+": "+a.Detail))
			continue
		}
		of[e].Times--
		a.Excepted = true
	}
	for _, e := range of {
		if e.Times > 0 && !e.Either {
			problems = append(problems, fmt.Sprintf("%s: did not fail as expected (%d times less): %s", e.Assertion, e.Times, e.Why))
		}
	}
	r.Problems = problems
	r.Chance = len(problems) == 0 && slices.ContainsFunc(of, func(e exception) bool { return e.Either })
}

// reasons returns the exceptions' reasons of a test, each once.
func reasons(test string, list []exception) (found []string) {
	for _, e := range list {
		if e.Test == test && !slices.Contains(found, e.Why) {
			found = append(found, e.Why)
		}
	}
	return found
}
