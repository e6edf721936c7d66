package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/specconv"
)

// TestComplete lists the completions of the last word. tests/e2e has IDs of containers.
func TestComplete(t *testing.T) {
	for _, tc := range []struct {
		line string // ends with the word; a trailing blank is an empty word
		want string // the completions
	}{
		{"st", "start state stats"},
		{"--log-f", "--log-format"},
		{"--log-format ", "text json"},
		{"--log-format=j", "--log-format=json"},
		{"--log-level w", "warning"},
		{"-log-level w", "warning"},
		{"--cgroup-manager ", "cgroupfs systemd disabled"},
		{"--rootless ", "true false auto"},
		{"--root ", ":folders"},
		{"--root=/r", ":folders"},
		{"--log ", ":files"},
		{"--debug --log-format json ev", "events"},
		{"--debug=true ev", "events"},
		{"--de", "--debug"},
		{"--debug --de", ""},
		{"--debug=", ""},
		{"--nosuch=", ""},
		{"create --bun", "--bundle"},
		{"create --bundle ", ":folders"},
		{"create -b ", ":folders"},
		{"create --bundle=/x --bun", ""},
		{"create box --pid-f", "--pid-file"},
		{"create box --pid-file ", ":files"},
		{"create --console-socket ", ":files"},
		{"create -- --pid-f", ""},
		{"create ", ""},
		{"--log create cre", "create"}, // the first one is the log file
		{"exec --cap CAP_SYS_P", "CAP_SYS_PTRACE CAP_SYS_PACCT"},
		{"exec --env A=1 --env", "--env"}, // may be repeated
		{"exec --cwd ", ""},               // the container's, not the host's
		{"exec --tty box --t", ""},        // the program's own
		{"exec --process ", ":files"},
		{"ps --format ", "table json"},
		{"plan --format ", "text json"},
		{"plan -f t", "text"},
		{"ps box --f", ""},
		{"kill box TE", "TERM"},
		{"kill box SIGTE", "SIGTERM"},
		{"kill box S", "SEGV STKFLT STOP SYS"},
		{"kill --all box U", "URG USR1 USR2"},
		{"kill box TERM ", ""},
		{"completion ", "bash zsh fish"},
		{"help sp", "spec"},
		{"h sp", "spec"},
		{"help spec ", ""},
		{"help -", "--help"},
		{"help --help sp", "spec"},
		{"nosuch ", ""},
		{"state --h", "--help"},
		{"features ", ""},
	} {
		words := strings.Split(tc.line, " ")
		var got []string
		for line := range strings.Lines(call(t, append([]string{"completion", "words"}, words...)...).succeeds(t)) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%q: %q, want %q", tc.line, got, tc.want)
		}
	}
}

// TestCompleteAll: an empty word completes to all commands, and "-" after a command to all of its
// flags.
func TestCompleteAll(t *testing.T) {
	lines := call(t, "completion", "words").succeeds(t)
	for _, c := range App("").Commands {
		if !strings.Contains("\n"+lines, "\n"+c.Name+"\t") {
			t.Errorf("no %s", c.Name)
		}
		flags := call(t, "completion", "words", c.Name, "-").succeeds(t)
		for _, f := range c.Flags {
			if !strings.Contains("\n"+flags, "\n--"+f.Names()[0]+"\t") {
				t.Errorf("%s: no --%s", c.Name, f.Names()[0])
			}
		}
	}
}

// TestChoices: a flag accepts the words that help and completion name.
func TestChoices(t *testing.T) {
	seen := 0
	check := func(before []string, flags []cli.Flag, command string, after ...string) {
		for _, f := range flags {
			for _, word := range wordsOf(f) {
				seen++
				args := append(slices.Clone(before), "--"+f.Names()[0], word)
				if r := call(t, append(append(args, command), after...)...); strings.Contains(r.stderr, "must be") {
					t.Errorf("%q: %s", args, r.stderr)
				}
			}
		}
	}
	app := App("")
	check(nil, app.Flags, "list")
	for _, c := range app.Commands {
		check([]string{c.Name}, c.Flags, "nosuch")
	}
	if seen < 20 {
		t.Errorf("%d words seen", seen)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range shells() {
		if out := call(t, "completion", shell).succeeds(t); !strings.Contains(out, " completion words ") {
			t.Errorf("%s: %q", shell, out)
		}
	}
	call(t, "completion", "csh").fails(t, 1, `completion: "csh": must be bash, zsh or fish`)
	call(t, "completion").fails(t, 1, "completion: takes the name of a shell")
	call(t, "completion", "bash", "zsh").fails(t, 1, "completion: takes the name of a shell")
}

func TestSignalsAreKnown(t *testing.T) {
	names := specconv.SignalNames()
	for _, n := range names {
		if _, err := specconv.ParseSignal(n); err != nil {
			t.Error(err)
		}
	}
	if len(names) != 31 || slices.Contains(names, "CLD") {
		t.Errorf("%d names: %q", len(names), names)
	}
}
