package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json` (see `go doc test2json` and `go help buildjson`).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// outcome is how a test or a package ended; the zero value says that it hasn't.
type outcome string

const (
	pass outcome = "pass"
	fail outcome = "fail"
	skip outcome = "skip"
)

// result is what is known of one test.
type result struct {
	name    string
	outcome outcome
	output  strings.Builder
}

// suite is what is known of one package.
type suite struct {
	tests  []*result // in order of appearance
	byName map[string]*result
	output strings.Builder // of the package itself
	done   bool
}

// counter turns test events into counts and a report.
type counter struct {
	out                     io.Writer
	suites                  map[string]*suite
	order                   []string
	builds                  map[string]*strings.Builder // compiler's output by import path
	passed, failed, skipped int
	ended                   []record
	watch                   *watch
}

func newCounter(out io.Writer) *counter {
	return &counter{out: out, suites: map[string]*suite{}, builds: map[string]*strings.Builder{}, watch: newWatch()}
}

// line takes one line of go test's output.
func (c *counter) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		fmt.Fprintf(c.out, "%s", line)
		return
	}
	c.add(e)
}

func (c *counter) add(e event) {
	switch e.Action {
	case "build-output":
		b := c.builds[e.ImportPath]
		if b == nil {
			b = new(strings.Builder)
			c.builds[e.ImportPath] = b
		}
		b.WriteString(e.Output)
		return
	case "build-fail":
		return // the package's own "fail" follows, with FailedBuild
	}
	c.watch.note(c, e, time.Now())
	s := c.suite(e.Package)
	if e.Test == "" {
		c.addPackage(s, e)
		return
	}
	r := s.byName[e.Test]
	if r == nil {
		r = &result{name: e.Test}
		s.byName[e.Test] = r
		s.tests = append(s.tests, r)
	}
	switch e.Action {
	case "output":
		r.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		r.outcome = outcome(e.Action)
	}
}

func (c *counter) suite(name string) *suite {
	s := c.suites[name]
	if s == nil || s.done { // a package that is tested in parts starts again
		s = &suite{byName: map[string]*result{}}
		c.suites[name] = s
		c.order = append(c.order, name)
	}
	return s
}

func (c *counter) addPackage(s *suite, e event) {
	switch e.Action {
	case "output":
		s.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		if b := c.builds[e.FailedBuild]; b != nil {
			s.output.WriteString(b.String())
		}
		c.close(e.Package, s, outcome(e.Action), e.Elapsed)
	}
}

// finish closes the packages whose end was never reported: go test itself was killed.
func (c *counter) finish() {
	for _, name := range c.order {
		if s := c.suites[name]; !s.done {
			c.close(name, s, fail, 0)
		}
	}
}

// close counts and reports a package that has ended.
func (c *counter) close(name string, s *suite, o outcome, seconds float64) {
	s.done = true
	c.watch.closed(c, name)
	passed, failed, skipped := c.passed, c.failed, c.skipped
	for i, r := range s.tests {
		if r.outcome == "" {
			// Started and never ended: the process died or ran out of time within it.
			// In a package that passes it is a name only (a benchmark's, an output line's).
			if o != fail {
				continue
			}
			r.outcome = fail
		}
		if !counts(r, s.tests, i) {
			continue
		}
		ended := record{Package: name, Test: r.name, Outcome: r.outcome}
		if r.outcome == skip {
			ended.Reason = reason(r.output.String())
		}
		c.ended = append(c.ended, ended)
		switch r.outcome {
		case pass:
			c.passed++
		case fail:
			c.fail(name+" "+r.name, r.output.String())
		case skip:
			c.skip(name+" "+r.name, ended.Reason)
		}
	}
	if o == fail && c.failed == failed {
		// No test is to blame: a build, a TestMain, an exit in mid-air.
		c.fail(name, s.output.String())
	} else if o == fail && len(s.tests) > 0 {
		// A panic's trace or a timeout's may stand in the package's own output.
		fmt.Fprintf(c.out, "%s", indent(interesting(s.output.String())))
	}
	if len(s.tests) == 0 && o != fail {
		return // no test files
	}
	word := "ok    "
	if o == fail {
		word = "FAIL  "
	}
	fmt.Fprintf(c.out, "%s%s: %d passed, %d failed, %d skipped (%.1f s)\n", word, name,
		c.passed-passed, c.failed-failed, c.skipped-skipped, seconds)
}

// counts tells whether the i-th test counts: a leaf always; a test with subtests only when it did
// not pass and none of its subtests says the same.
func counts(r *result, tests []*result, i int) bool {
	below := func(t *result) bool { return strings.HasPrefix(t.name, r.name+"/") }
	if !slices.ContainsFunc(tests, below) {
		return true
	}
	if r.outcome == pass {
		return false
	}
	return !slices.ContainsFunc(tests, func(t *result) bool {
		return below(t) && (t.outcome == r.outcome || t.outcome == "" && r.outcome == fail)
	})
}

// fail counts one failure and shows its output.
func (c *counter) fail(name, output string) {
	c.failed++
	fmt.Fprintf(c.out, "FAIL  %s\n%s", name, indent(output))
}

// skip counts what was not tested.
func (c *counter) skip(name, reason string) {
	c.skipped++
	fmt.Fprintf(c.out, "SKIP  %s: %s\n", name, reason)
}

// merge adds another counter's counts, and the report that it wrote.
func (c *counter) merge(other *counter, report []byte) {
	c.passed += other.passed
	c.failed += other.failed
	c.skipped += other.skipped
	c.ended = append(c.ended, other.ended...)
	c.out.Write(report)
}

func (c *counter) summary() {
	fmt.Fprintf(c.out, "%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
}

// reason takes the skip's reason from a test's output: what it logged, on one line.
func reason(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		// "file_test.go:12: text"
		if at, text, ok := strings.Cut(line, ": "); ok && strings.Contains(at, ".go:") {
			line = text
		}
		words = append(words, line)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// interesting drops the package's closing lines, which the report has in its own words.
func interesting(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if text := strings.TrimSpace(line); text == "" || text == "FAIL" || strings.HasPrefix(text, "FAIL\t") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// indent sets output off from the report's own lines.
func indent(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "=== RUN") {
			continue
		}
		b.WriteString("      ")
		b.WriteString(strings.TrimSuffix(line, "\n"))
		b.WriteByte('\n')
	}
	return b.String()
}
