package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long something runs until the watch names it, and the interval of repetition.
const patience = 5 * time.Minute

// watch knows what runs, and since when. Nothing has a time limit, so it names what runs for long:
// that tells how far a slow run has got, and what hung in one that was ended from outside.
type watch struct {
	mu      sync.Mutex
	running map[running]time.Time
}

// running is a test, or a package when test is "".
type running struct {
	by        *counter // two guests may run the same package
	pkg, test string
}

func newWatch() *watch { return &watch{running: map[running]time.Time{}} }

// note takes an event.
func (w *watch) note(by *counter, e event, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := running{by, e.Package, e.Test}
	switch e.Action {
	case "start", "run":
		w.running[r] = now
	case "pass", "fail", "skip":
		delete(w.running, r)
	}
}

// closed forgets a package and its tests, which may have ended without an event.
func (w *watch) closed(by *counter, pkg string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.running, func(r running, _ time.Time) bool { return r.by == by && r.pkg == pkg })
}

// long says what has been running for long, the innermost of it.
func (w *watch) long(now time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for r, since := range w.running {
		within := func(other running) bool {
			return other.by == r.by && other.pkg == r.pkg && other != r && (r.test == "" || strings.HasPrefix(other.test, r.test+"/")) &&
				now.Sub(w.running[other]) >= patience
		}
		if now.Sub(since) < patience || slices.ContainsFunc(slices.Collect(maps.Keys(w.running)), within) {
			continue
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("running for %v: %s %s", now.Sub(since).Round(time.Minute), r.pkg, r.test)))
	}
	slices.Sort(lines)
	return lines
}

// tell reports long-running tests until the program ends.
func (w *watch) tell(out io.Writer) {
	for now := range time.Tick(patience) {
		for _, line := range w.long(now) {
			fmt.Fprintln(out, line)
		}
	}
}
