package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is the outcome of a call.
type result struct {
	status         int
	stdout, stderr string
}

// call runs a command line in this process, with a temporary state directory.
func call(t *testing.T, args ...string) result {
	t.Helper()
	return callBare(t, append([]string{"--root", filepath.Join(t.TempDir(), "root")}, args...)...)
}

// callBare is call without --root.
func callBare(t *testing.T, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	var files [3]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(dir, "stream"+string(rune('0'+i))))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	r := result{status: Main("1.2.3", append([]string{"orlop"}, args...), files[0], files[1], files[2])}
	for i, text := range []*string{&r.stdout, &r.stderr} {
		data, err := os.ReadFile(files[i+1].Name())
		if err != nil {
			t.Fatal(err)
		}
		*text = string(data)
	}
	return r
}

// fails fails the test unless the call failed with this status and a message that contains the
// text.
func (r result) fails(t *testing.T, status int, text string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.stderr, text) {
		t.Errorf("status %d, stderr %q; want %d and %q", r.status, r.stderr, status, text)
	}
}

// succeeds fails the test unless the call succeeded without a message. It returns the output.
func (r result) succeeds(t *testing.T) string {
	t.Helper()
	if r.status != 0 || r.stderr != "" {
		t.Errorf("status %d, stderr %q; want success", r.status, r.stderr)
	}
	return r.stdout
}

func TestFailures(t *testing.T) {
	cases := []struct {
		args   string
		status int
		text   string
	}{
		{"nosuch", 1, `unknown command "nosuch"`},
		{"--nosuch", 1, "flag provided but not defined: -nosuch"},
		{"--nosuch state x", 1, "flag provided but not defined: -nosuch"},
		{"state", 1, "state: takes the ID of a container"},
		{"state a b", 1, "not 2 arguments"},
		{"state --nosuch a", 1, "state: flag provided but not defined: -nosuch"},
		{"state absent", 1, "container does not exist"},
		{"-debug=false state absent", 1, "container does not exist"},
		{"start absent", 1, "container does not exist"},
		{"delete absent", 1, "container does not exist"},
		{"kill absent", 1, "container does not exist"},
		{"kill absent KILL", 1, "container does not exist"},
		{"kill -all absent 9", 1, "container does not exist"},
		{"kill absent NOSUCH", 1, `kill: signal "NOSUCH": unknown`},
		{"kill absent 0", 1, "must be from 1"},
		{"kill a TERM b", 1, "not 3 arguments"},
		{"pause absent", 1, "container does not exist"},
		{"resume absent", 1, "container does not exist"},
		{"state a/b", 1, "invalid container ID format"},
		{"delete --force ../x", 1, "invalid container ID format"},
		// An exec that does not come about is told from a process that returns 1; a wrong call
		// isn't one.
		{"exec absent true", 255, "container does not exist"},
		{"exec absent", 1, "exec: takes the ID of a container and a command"},
		{"exec --process p.json absent true", 1, "nothing else with --process"},
		{"exec --cgroup cpu:/x absent true", 255, "container does not exist"},
		{"create --console-socket", 1, "flag needs an argument: -console-socket"},
		{"create --preserve-fds x id", 1, "invalid value"},
		{"create --bundle /nonexistent id", 1, "/nonexistent/config.json: no such file or directory"},
		{"run -bundle /nonexistent id", 1, "/nonexistent/config.json: no such file or directory"},
		{"run id -b /nonexistent", 1, "/nonexistent/config.json: no such file or directory"},
		{"list x", 1, "list: takes none"},
		{"list --format nonsense", 1, "must be table or json"},
		{"plan --format nonsense", 1, "must be text or json"},
		{"--log-format xml state a", 1, "must be text or json"},
		{"--log-level loud state a", 1, "must be error, warning, info or debug"},
		{"--log /nonexistent/log state a", 1, "/nonexistent/log: no such file or directory"},
		{"--rootless maybe state a", 1, "must be true, false or auto"},
		{"--cgroup-manager other state a", 1, "must be cgroupfs, systemd or disabled"},
		{"--systemd-cgroup --cgroup-manager cgroupfs state a", 1, "--systemd-cgroup contradicts --cgroup-manager cgroupfs"},
		{"--systemd-cgroup --cgroup-manager=systemd state a", 1, "container does not exist"},
		{"--log", 1, "flag needs an argument: -log"},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			r := call(t, strings.Fields(tc.args)...)
			r.fails(t, tc.status, tc.text)
			if !strings.HasPrefix(r.stderr, "orlop: ") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("stderr %q: want one line that names the program", r.stderr)
			}
			if r.stdout != "" {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
}

// TestHelpIsAnID: a container may have a command's name.
func TestHelpIsAnID(t *testing.T) {
	for _, id := range []string{"help", "h", "list", "bundle"} {
		call(t, "state", id).fails(t, 1, `container "`+id+`": container does not exist`)
	}
}

func TestDeleteForceOfNone(t *testing.T) {
	call(t, "delete", "--force", "absent").succeeds(t)
	call(t, "delete", "absent", "-f").succeeds(t)
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"-h"}, {"help"}} {
		out := callBare(t, args...).succeeds(t)
		for _, c := range constructors() {
			if !strings.Contains(out, "\n   "+c.name) {
				t.Errorf("%q: no %s", args, c.name)
			}
		}
		if !strings.Contains(out, "EXIT STATUS") {
			t.Errorf("%q: exit statuses are missing", args)
		}
	}
	for _, c := range constructors() {
		for _, args := range [][]string{{c.name, "--help"}, {"help", c.name}} {
			if isHelp(c.name) {
				continue // prints the help of the program
			}
			if out := callBare(t, args...).succeeds(t); !strings.Contains(out, "orlop "+c.name) {
				t.Errorf("%q: %q", args, out)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v", "-version"} {
		lines := strings.Split(callBare(t, flag, "state").succeeds(t), "\n")
		if lines[0] != "orlop version 1.2.3" {
			t.Errorf("%s: first line %q", flag, lines[0])
		}
	}
}

// TestDebugShowsTheCall: the log has a command's arguments as they were given.
func TestDebugShowsTheCall(t *testing.T) {
	for _, args := range [][]string{{"delete", "absent", "-f"}, {"delete", "-force=1", "--", "absent"}} {
		if r := call(t, append([]string{"--debug"}, args...)...); !strings.Contains(r.stderr, fmt.Sprintf(": %q, state in", args)) {
			t.Errorf("%q: stderr %q", args, r.stderr)
		}
	}
}

// TestFreshRoot: reading creates nothing.
func TestFreshRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	callBare(t, "--root", root, "list").succeeds(t)
	callBare(t, "--root", root, "state", "x").fails(t, 1, "container does not exist")
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("%s: %v", root, err)
	}
}
