package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orlop/orlop/tests/peers"
)

// A tester runs cases and compares what they show.
type tester struct {
	dir string // where the cases' directories are mounted
	programs
	runtimes []runtimeProgram // orlop first
	rules    []rule

	limit               time.Duration // of a call
	length              time.Duration // of a sweep, which begins no case after it; 0: as long as it takes
	everyCase, noShrink bool
	always              bool      // crun is run for each case
	allowed             io.Writer // gets the differences that are allowed, nil for none
	serial              atomic.Int64
	used                sync.Map // index of a rule -> true
	times               sync.Map // name of a runtime -> *spent
}

// spent is how long the jobs of a runtime took, and the calls of the runtime in them.
type spent struct{ jobs, calls atomic.Int64 }

func newTester(orlop string, p peers.Peers) (*tester, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "orlop-differential-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return &tester{dir: dir, limit: callLimit, programs: programs{busybox, p.Probe}, runtimes: []runtimeProgram{{"orlop", orlop}, {"runc", p.Runc}, {"crun", p.Crun}}, rules: rules()}, nil
}

// cgroup is the parent of all cases' cgroups, from the root of each hierarchy.
func (t *tester) cgroup() string { return fmt.Sprintf("/orlop-differential-%d", os.Getpid()) }

func (t *tester) close() {
	for _, mount := range cgroupMounts() {
		os.Remove(filepath.Join(mount, t.cgroup()))
	}
	os.RemoveAll(t.dir)
}

// A result is what came of a case.
type result struct {
	c       Case
	limit   time.Duration // of a call
	config  string
	seen    []*observation // one of each runtime
	fault   string         // of the tester: the case was not run
	differ  []difference   // not explained
	allowed int
}

// do runs a case and compares. A command that seems stuck may be slow because the machine is busy:
// it then gets more time.
func (t *tester) do(c Case) result {
	res := t.attempt(c, t.limit)
	if len(res.differ) > 0 && slices.ContainsFunc(res.seen, (*observation).stuck) {
		res = t.attempt(c, patience*t.limit)
	}
	return res
}

// patience multiplies the timeout of a command at the second attempt.
const patience = 5

// attempt runs a case under orlop and runc and compares. What crun does is asked only if that may
// explain something, or is shown.
func (t *tester) attempt(c Case, limit time.Duration) result {
	n := t.serial.Add(1)
	res := result{c: c, limit: limit}
	for _, program := range t.runtimes[:2] {
		if !t.runUnder(program, n, &res) {
			return res
		}
	}
	differ := compare(res.seen[0], res.seen[1])
	// Of several faults in one configuration, each runtime names the one that it finds first.
	differ = slices.DeleteFunc(differ, func(d difference) bool {
		return len(c) > 1 && (d.Key == "1 run: error" || d.Key == "1 create: error")
	})
	t.explain(differ, &res)
	if len(res.differ) == 0 && !t.always || !t.runUnder(t.runtimes[2], n, &res) {
		return res
	}
	_, _, crun := parts(res.seen[2], res.seen[2])
	for i := range differ {
		differ[i].Crun, differ[i].asked = value(crun, differ[i].Key), true
	}
	t.explain(differ, &res)
	return res
}

// runUnder runs a case under one runtime, and reports whether it could.
func (t *tester) runUnder(program runtimeProgram, n int64, res *result) bool {
	begin := time.Now()
	a := job{Case: res.c, Dir: t.dir, ID: fmt.Sprintf("differential-%d-%d", os.Getpid(), n), Cgroup: fmt.Sprintf("%s/%d", t.cgroup(), n),
		Runtime: program, Limit: res.limit, programs: t.programs}.do()
	times, _ := t.times.LoadOrStore(program.Name, &spent{})
	times.(*spent).jobs.Add(int64(time.Since(begin)))
	times.(*spent).calls.Add(int64(a.Took))
	if a.Fault != "" {
		res.fault = program.Name + ": " + a.Fault
		return false
	}
	res.config, res.seen = a.Config, append(res.seen, a.Seen)
	return true
}

// explain separates allowed differences from the others.
func (t *tester) explain(differ []difference, res *result) {
	res.allowed, res.differ = 0, nil
	for _, d := range differ {
		if i := match(t.rules, res.c, d); i >= 0 {
			t.used.Store(i, true)
			res.allowed++
			if t.allowed != nil {
				fmt.Fprintf(t.allowed, "%s\t%s\t%s\t%s\t%s\t%s\n", t.rules[i].place, d.Key, d.Orlop, d.Runc, d.Crun, res.c)
			}
			continue
		}
		res.differ = append(res.differ, d)
	}
}

// A summary counts what a sweep found.
type summary struct{ cases, ran, equal, allowed, differ, faults int }

func (s summary) String() string {
	return fmt.Sprintf("%d cases, %d of them with a container that ran: %d equal, %d with allowed differences, %d with others, %d not run",
		s.cases, s.ran, s.equal, s.allowed, s.differ, s.faults)
}

// sweep runs generated cases, several at once, and reports what differs, one of each kind.
func (t *tester) sweep(seed, first, count uint64, jobs int, out io.Writer) summary {
	var s summary
	var mu sync.Mutex
	known := map[string]int{}
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			for index := range next {
				begin := time.Now()
				res := t.do(generate(seed, index))
				if took := time.Since(begin); took > t.limit {
					fmt.Fprintf(out, "slow: case %d of seed %d took %v: %v\n", index, seed, took.Round(time.Second), res.c)
				}
				mu.Lock()
				s.cases++
				if len(res.seen) > 0 && res.seen[0].ran() {
					s.ran++
				}
				fresh := false
				switch {
				case res.fault != "":
					s.faults++
					fmt.Fprintf(out, "case %d: %v\n\tnot run: %s\n", index, res.c, res.fault)
				case len(res.differ) > 0:
					s.differ++
					for _, d := range res.differ {
						known[signature(d)]++
						fresh = fresh || known[signature(d)] == 1
					}
				case res.allowed > 0:
					s.allowed++
				default:
					s.equal++
				}
				mu.Unlock()
				if len(res.differ) == 0 || !fresh && !t.everyCase {
					continue
				}
				res = t.shrunk(res)
				mu.Lock()
				fmt.Fprintf(out, "case %d of seed %d\n%s\n", index, seed, res.report(t.runtimes))
				mu.Unlock()
			}
		})
	}
	begin := time.Now()
	for i := uint64(0); i < count && (t.length == 0 || time.Since(begin) < t.length); i++ {
		next <- first + i
	}
	close(next)
	workers.Wait()
	return s
}

// timesTaken says for each runtime how long its jobs took.
func (t *tester) timesTaken() string {
	var text strings.Builder
	for _, program := range t.runtimes {
		if times, ok := t.times.Load(program.Name); ok {
			s := times.(*spent)
			fmt.Fprintf(&text, "%s: %v, of it %v in its commands\n", program.Name, time.Duration(s.jobs.Load()).Round(time.Millisecond), time.Duration(s.calls.Load()).Round(time.Millisecond))
		}
	}
	return text.String()
}

// unused lists the rows that no case used.
func (t *tester) unused() (list []string) {
	for i, r := range t.rules {
		if _, ok := t.used.Load(i); !ok {
			list = append(list, fmt.Sprintf("row without use: %s | %s | %s", r.row.place, r.row.key, r.row.features))
		}
	}
	return list
}

// shrunk returns the result of the smallest case that shows the first difference of this one.
func (t *tester) shrunk(res result) result {
	if t.noShrink {
		return res
	}
	want := signature(res.differ[0])
	best := res
	shrink(res.c, func(c Case) bool {
		got := t.do(c)
		same := slices.ContainsFunc(got.differ, func(d difference) bool { return signature(d) == want })
		if same {
			best = got
		}
		return same
	})
	return best
}

// report is what a person needs to see the difference.
func (r result) report(runtimes []runtimeProgram) string {
	var text strings.Builder
	fmt.Fprintf(&text, "  case: %v\n", r.c)
	for _, d := range r.differ {
		fmt.Fprintf(&text, "  %s\n", strings.ReplaceAll(d.String(), "\n", "\n  "))
	}
	for i, seen := range r.seen {
		fmt.Fprintf(&text, "  under %s:\n", runtimes[i].Name)
		for n, line := range seen.Log {
			if n > 0 && strings.HasSuffix(line, "status 0\n") {
				continue // says nothing
			}
			fmt.Fprintf(&text, "    %s\n", strings.ReplaceAll(strings.TrimSpace(line), "\n", "\n    "))
		}
	}
	return text.String()
}

// show runs one case and prints everything.
func (t *tester) show(out io.Writer, c Case, facts bool) error {
	t.always = true
	res := t.do(c)
	if res.fault != "" {
		return fmt.Errorf("%v: %s", c, res.fault)
	}
	fmt.Fprintf(out, "%s\n%s", res.config, res.report(t.runtimes))
	if facts {
		for _, f := range res.seen[0].Facts {
			fmt.Fprintf(out, "  %s\n\t%s\n", f.Key, f.Value)
		}
	}
	if len(res.differ) > 0 {
		return fmt.Errorf("%d facts differ", len(res.differ))
	}
	return nil
}
