package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/golden"
)

// TestHelpTexts: all ways to ask for help print the same.
func TestHelpTexts(t *testing.T) {
	check := func(file string, lines ...[]string) {
		t.Helper()
		for _, line := range lines {
			golden.Check(t, "help/"+file+".golden", callBare(t, line...).succeeds(t))
		}
	}
	check(name, nil, []string{"help"}, []string{"h"}, []string{"-h"}, []string{"--help"}, []string{"-help"}, []string{"help", "--help"},
		[]string{"--help", ""}, []string{"help", ""})
	check("help", []string{"help", "help"}, []string{"h", "h"}, []string{"--help", "help"})
	for _, constructor := range constructors() {
		c := constructor.name
		if isHelp(c) {
			continue // above
		}
		check(c, []string{"help", c}, []string{"h", c}, []string{"--help", c}, []string{c, "--help"}, []string{c, "-h"}, []string{c, "-help"},
			[]string{c, "--help=1", "-h"}, []string{c, "-h", "box", "x"}, []string{"help", c, "--x"})
	}
	check("state", []string{"state", "box", "--help"}, []string{"state", "start", "--help"})
}

// TestHelpFits: help fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	lines := [][]string{{"help"}, {"help", "help"}}
	for _, c := range constructors() {
		lines = append(lines, []string{"help", c.name})
	}
	for _, args := range lines {
		for line := range strings.Lines(callBare(t, args...).succeeds(t)) {
			if len(line) > helpWidth+1 {
				t.Errorf("%q: %s", args, line)
			}
		}
	}
}

func TestHelpOfNone(t *testing.T) {
	for _, line := range [][]string{{"help", "nosuch"}, {"--help", "nosuch"}, {"help", "--help", "nosuch"}} {
		callBare(t, line...).fails(t, 1, "orlop: No help topic for 'nosuch'\n")
		callBare(t, append([]string{"--log-format=json"}, line...)...).fails(t, 1, `"code":"usage"`)
	}
	if r := callBare(t, "help", "--nosuch"); r.status != 1 || r.stdout != "" || r.stderr != "orlop: help: flag provided but not defined: -nosuch\n" {
		t.Errorf("%+v", r)
	}
}

// TestHelpIsWritten: a write error makes help fail.
func TestHelpIsWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if status := Main("1.2.3", []string{"orlop", "--help"}, full, full, full); status != 1 {
		t.Errorf("status %d", status)
	}
}
