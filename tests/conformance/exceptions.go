package main

import (
	"fmt"
	"slices"
	"strings"
)

// kind is why an assertion can't hold of a runtime that follows the specification.
type kind string

const (
	contradicts kind = "contradicts the specification"
	faulty      kind = "the test is wrong"
	aged        kind = "the test is older than the kernel, or than Go"
	racy        kind = "the test does not wait"
	machine     kind = "this machine"
)

// exception is one assertion of the suite that is not expected to hold. exceptions.md has a section for each, which says
// what the specification says, what the test does, and what runtimes do.
type exception struct {
	Test      string
	Assertion string
	Detail    string // part of what is said of it, small letters or not: it may fail in this way only
	Times     int    // how often the program makes it in vain
	Kind      kind
	Why       string // for the tables, on one line
	// Either: how it ends is chance.
	Either bool
}

// exceptions lists what is expected of a runtime on this host.
//
// long: a table
func exceptions(h host) []exception {
	const (
		pids      = "pids limit is set correctly"
		pidsWhy   = "compares two pointers, not the limits"
		leaf      = "blkio.leaf_weight"
		leafWhy   = "sets blkio.leaf_weight, which went from the kernel with CFQ (5.0)"
		kernel    = "memory kernel is set correctly"
		kernelWhy = "limits kernel memory, which the kernel does not do any more (5.16)"
	)
	list := []exception{
		{Test: "delete_resources", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "hooks", Assertion: saysNone, Detail: "in the listed order", Times: 1, Kind: faulty,
			Why: "waits for other text than its own hooks write, and panics should it find that"},
		{Test: "linux_cgroups_blkio", Assertion: endsWell, Detail: leaf, Times: 1, Kind: aged, Why: leafWhy},
		{Test: "linux_cgroups_memory", Assertion: kernel, Detail: "actual: 9223372036854771712", Times: 6, Kind: aged, Why: kernelWhy},
		{Test: "linux_cgroups_pids", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "linux_cgroups_relative_blkio", Assertion: "exit status 1", Detail: leaf, Times: 1, Kind: aged, Why: leafWhy},
		{Test: "linux_cgroups_relative_memory", Assertion: kernel, Detail: "actual: 9223372036854771712", Times: 1, Kind: aged, Why: kernelWhy},
		{Test: "linux_cgroups_relative_pids", Assertion: pids, Detail: "expect: ", Times: 1, Kind: faulty, Why: pidsWhy},
		{Test: "linux_process_apparmor_profile", Assertion: endsWell, Detail: "AppArmor", Times: 1, Kind: faulty,
			Why: "asks for a profile that is nowhere, and wants no error"},
		{Test: "linux_seccomp", Assertion: endsEarly, Detail: "getwd: operation not permitted", Times: 1, Kind: faulty,
			Why: "forbids getcwd, which runtimetest calls: so that ends before it has looked at most things"},
		{Test: "misc_props", Assertion: "implementations that are reading/processing this configuration file MUST NOT generate an error if they" +
			" encounter an unknown annotation key", Detail: "/runtimetest", Times: 1, Kind: faulty, Why: "runs /runtimetest, which it has not put there"},
		{Test: "pidfile", Assertion: "create with '--pid-file' option works", Detail: "not running", Times: 1, Kind: racy, Either: true,
			Why: "kills a process that may have ended, and wants no error"},
		{Test: "poststart", Assertion: saysNone, Detail: "MUST be called after the user-specified process is executed", Times: 1, Kind: racy, Either: true,
			Why: "wants the program to have written before the hook, which is called when the program has been executed"},
		{Test: "poststart_fail", Assertion: saysNone, Detail: "if any poststart hook fails", Times: 1, Kind: contradicts,
			Why: "wants a warning where the specification wants an error (1.3.0)"},
		{Test: "prestart", Assertion: saysNone, Detail: "after the `start` operation is called", Times: 1, Kind: contradicts,
			Why: "wants the hooks at start where the specification wants them at create (1.1.0)"},
		{Test: "process_capabilities_fail", Assertion: endsWell, Detail: "cannot be mapped", Times: 1, Kind: contradicts,
			Why: "wants an error for an unknown capability where the specification wants a warning (1.1.0)"},
		{Test: "process_rlimits", Assertion: "has expected soft RLIMIT_NOFILE", Detail: `"actual": 3999`, Times: 1, Kind: aged,
			Why: "reads a limit that Go's runtime has raised in runtimetest itself (Go 1.19)"},
		{Test: "start", Assertion: "`start` operation MUST generate an error if `process` was not set", Times: 1, Kind: contradicts,
			Why: "wants no error, against the specification and its own text"},
	}
	for _, name := range h.Lacking {
		for _, set := range []string{"bounding", "effective", "inheritable", "permitted", "ambient"} {
			list = append(list, exception{Test: "process_capabilities", Assertion: "expected " + set + " capability " + name + " set", Times: 1,
				Kind: machine, Why: "who runs the suite may not have " + name + " here"})
		}
	}
	return list
}

// expect holds a result against the exceptions, marks the assertions that were expected not to hold, and tells what is
// otherwise than expected.
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
