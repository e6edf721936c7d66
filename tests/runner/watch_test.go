package main

import (
	"reflect"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	begin := time.Now()
	w, one, other := newWatch(), new(counter), new(counter)
	for i, step := range []struct {
		minute          time.Duration
		by              *counter
		action, pkg, is string
		want            []string // after that
	}{
		{0, one, "start", "m", "", nil},
		{0, one, "run", "m", "TestA", nil},
		{0, one, "run", "m", "TestA/x", nil},
		{4, other, "start", "m", "", nil},
		{5, other, "run", "m", "TestB", []string{"running for 5m0s: m TestA/x"}},
		{9, one, "pass", "m", "TestA/x", []string{"running for 5m0s: m", "running for 9m0s: m TestA"}},
		{10, one, "output", "m", "TestA", []string{"running for 10m0s: m TestA", "running for 5m0s: m TestB"}},
		{11, one, "pass", "m", "TestA", []string{"running for 11m0s: m", "running for 6m0s: m TestB"}},
		{12, one, "pass", "m", "", []string{"running for 7m0s: m TestB"}},
	} {
		now := begin.Add(step.minute * time.Minute)
		w.note(step.by, event{Action: step.action, Package: step.pkg, Test: step.is}, now)
		if got := w.long(now); !reflect.DeepEqual(got, step.want) {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
	w.closed(other, "m")
	if got := w.long(begin.Add(time.Hour)); got != nil {
		t.Errorf("closed, got %q", got)
	}
}
