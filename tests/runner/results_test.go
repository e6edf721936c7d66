package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestResults: a run replaces what it ran, and nothing else.
func TestResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new/results.json")
	for _, run := range [][]record{
		{{"p", "TestA/x", pass, ""}, {"p", "TestA/y", pass, ""}, {"p", "TestB", pass, ""}},
		{{"guest p", "TestA/x", fail, ""}},
		{{"p", "TestA/x", skip, "no x"}},
	} {
		c := newCounter(io.Discard)
		c.ended = run
		if err := c.write(file); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer("\n", "", "\t", "", `"package": `, "", `"test": `, " ", `"outcome": `, " ", `"reason": `, " ", `"`, "").Replace(string(data))
	if want := "[{p, TestB, pass},{guest p, TestA/x, fail},{p, TestA/x, skip, no x}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
