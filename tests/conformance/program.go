package main

import (
	"fmt"
	"strings"
)

// outcome is the result of a program of the suite.
type outcome string

const (
	passed  outcome = "pass"
	failed  outcome = "fail"
	nothing outcome = "nothing asserted" // it says something only when something is wrong, and it has said nothing
	errored outcome = "error"            // it asserted nothing, and its diagnostics tell of an error
	skipped outcome = "cannot be run"    // this host lacks what it needs
)

// result is what a program of the suite said of a runtime.
type result struct {
	Test       string      `json:"test"`
	Outcome    outcome     `json:"outcome"`
	Reason     string      `json:"reason,omitempty"` // why it could not be run here
	Passed     int         `json:"passed"`
	Failed     int         `json:"failed"`
	Skipped    int         `json:"skipped,omitempty"`
	Seconds    float64     `json:"seconds"`
	Runs       int         `json:"runs"`               // 2 when the first one ended otherwise than expected
	Problems   []string    `json:"problems,omitempty"` // what is otherwise than expected
	Chance     bool        `json:"chance,omitempty"`   // it could as well have ended otherwise
	Assertions []assertion `json:"assertions"`
	Stderr     string      `json:"stderr,omitempty"`
}

// Names of what is asserted beside the programs' own lines, so that it can be counted and excepted
// like them.
const (
	endsWell  = "ends with status 0"
	endsEarly = "runs to the end"
	saysNone  = "reports no error"
)

// judge makes a result of what a program printed and how it ended.
func judge(test string, stdout, stderr string, status int) result {
	doc := parseTAP(stdout)
	r := result{Test: test, Assertions: doc.Assertions, Stderr: strings.TrimSpace(stderr)}
	add := func(name string, ok bool, detail string) {
		r.Assertions = append(r.Assertions, assertion{Name: name, OK: ok, Detail: detail})
	}
	own := 0
	for _, a := range doc.Assertions {
		if a.Directive == "" {
			own++
		}
	}
	switch {
	case status == statusTimeLimit:
		add(endsWell, false, "the time limit has passed: "+r.Stderr)
	case status != 0:
		add(endsWell, false, fmt.Sprintf("status %d: %s", status, r.Stderr))
	case len(doc.Unfinished) > 0:
		add(endsEarly, false, strings.Join(doc.Unfinished, "\n")+": "+r.Stderr)
	case own == 0:
		add(saysNone, len(doc.Errors) == 0, strings.Join(doc.Errors, "\n"))
	}
	for _, a := range r.Assertions {
		switch {
		case a.Directive == skipDirective:
			r.Skipped++
		case a.failed():
			r.Failed++
		case a.OK:
			r.Passed++
		}
	}
	switch {
	case own == 0 && status == 0 && len(doc.Errors) > 0:
		r.Outcome = errored
	case r.Failed > 0:
		r.Outcome = failed
	case own == 0:
		r.Outcome = nothing
	default:
		r.Outcome = passed
	}
	return r
}
