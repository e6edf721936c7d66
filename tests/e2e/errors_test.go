package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// global puts global flags in front of the command; Cmd puts --root there.
func global(flags []string, args ...string) []string { return append(flags, args...) }

// TestLogJSON: a failure writes exactly one JSON line, which engines read, with the text of
// standard error.
func TestLogJSON(t *testing.T) {
	cases := []struct {
		name string
		args func(b *harness.Box) []string
	}{
		{"no such container", func(b *harness.Box) []string { return []string{"state", b.ID} }},
		{"no such program", func(b *harness.Box) []string { return []string{"run", "--bundle", b.Bundle, b.ID} }},
		{"no bundle", func(b *harness.Box) []string { return []string{"create", "--bundle", "/no/such/bundle", b.ID} }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Args("/no/such/program"))
			log := filepath.Join(b.Dir, "log.json")
			r := b.Fails("", global([]string{"--log", log, "--log-format", "json"}, tc.args(b)...)...)
			lines := strings.Split(strings.TrimSuffix(read(t, log), "\n"), "\n")
			if len(lines) != 1 && harness.Name() != "orlop" {
				t.Skipf("orlop only: %d lines", len(lines))
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines: %q", len(lines), lines)
			}
			var entry struct{ Level, Msg, Time string }
			if err := json.Unmarshal([]byte(lines[0]), &entry); err != nil {
				t.Fatal(err)
			}
			if entry.Level != "error" || entry.Msg == "" {
				t.Errorf("got %+v", entry)
			}
			if _, err := time.Parse(time.RFC3339, entry.Time); err != nil {
				t.Error(err)
			}
			if harness.Name() == "orlop" && !strings.Contains(r.Stderr, entry.Msg) {
				t.Errorf("standard error %q lacks %q", r.Stderr, entry.Msg)
			}
			if r.Stderr == "" {
				t.Error("nothing on standard error")
			}
		})
	}
}

// TestNotes: privileges that the container lacks because nobody can grant them are reported in the
// log only, not in output that a build prints.
func TestNotes(t *testing.T) {
	harness.OrlopOnly(t, "it is about what is said")
	kill := []string{"CAP_KILL"}
	for name, tc := range map[string]struct {
		change func(*specs.Spec)
		note   string
	}{
		"ambient capability": {func(s *specs.Spec) { s.Process.Capabilities.Ambient = kill },
			"process.capabilities.ambient[0]: CAP_KILL is not both permitted and inheritable, left out"},
		"unknown capability": {func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NO_SUCH"} },
			`process.capabilities.bounding[0]: unknown capability "CAP_NO_SUCH", left out`},
		"newer version":        {func(s *specs.Spec) { s.Version = "1.99.0" }, "ociVersion: 1.99.0 is newer than"},
		"relative destination": {harness.WithMount("mnt", "tmpfs", "tmpfs"), "destination: is relative"},
		"kernel memory": {func(s *specs.Spec) {
			limit := int64(1 << 30)
			s.Linux.Resources.Memory = &specs.LinuxMemory{Kernel: &limit} //nolint:staticcheck // deprecated, yet it may be there
		}, "linux.resources.memory.kernel: not applied"},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, tc.change, harness.Args("true"), func(s *specs.Spec) { s.Root.Readonly = false })
			run := func(flags ...string) harness.Result {
				r := b.Cmd(append(flags, "run", "--bundle", b.Bundle, b.ID)...).Run()
				r.OK(b)
				return r
			}
			if r := run(); r.Stderr != "" {
				t.Errorf("standard error: %s", r.Stderr)
			}
			if r := run("--log-level", "info"); !strings.Contains(r.Stderr, "orlop: warning: ") || !strings.Contains(r.Stderr, tc.note) {
				t.Errorf("standard error with --log-level info: %s", r.Stderr)
			}
			log := filepath.Join(b.Dir, "log")
			r := run("--log", log, "--log-format", "json")
			var entry struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(read(t, log)), &entry); err != nil || entry.Level != "warning" || !strings.Contains(entry.Msg, tc.note) || r.Stderr != "" {
				t.Errorf("%v: log %s, standard error %s", err, read(t, log), r.Stderr)
			}
			var report struct{ Notes, Warnings []string }
			must(t, json.Unmarshal([]byte(b.OK("check", "--bundle", b.Bundle, "--format", "json")), &report))
			if !strings.Contains(strings.Join(report.Notes, "\n"), tc.note) || len(report.Warnings) > 0 {
				t.Errorf("check: %+v", report)
			}
		})
	}
}

// TestLogIsOneObject: Podman parses the log of a failed call as one JSON object, warnings or not.
func TestLogIsOneObject(t *testing.T) {
	harness.OrlopOnly(t, "others warn of other things")
	for name, change := range map[string]func(*specs.Spec){
		"create": harness.Args("/no/such/program"),
		"config": func(s *specs.Spec) { s.Process.Cwd = "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, change, func(s *specs.Spec) {
				s.Version = "1.99.0" // newer than known: a note
				// A label needs SELinux: a warning.
				s.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
				s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_NO_SUCH")
			})
			needBusybox(t)
			addHook(b, "poststop", "exit 1") // another one
			log := filepath.Join(b.Dir, "log")
			r := b.Do("--log", log, "--log-format", "json", "create", "--bundle", b.Bundle, b.ID)
			r.Fails(b, "")
			var entry struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(read(t, log)), &entry); err != nil || entry.Level != "error" {
				t.Errorf("log: %v: %s", err, read(t, log))
			}
			b.CheckClean()
		})
	}
	t.Run("warnings are told where it works", func(t *testing.T) {
		b := harness.New(t, func(s *specs.Spec) { s.Version = "1.99.0" })
		log := filepath.Join(b.Dir, "log")
		b.OK("--log", log, "--log-format", "json", "run", "--bundle", b.Bundle, b.ID)
		if got := read(t, log); !strings.Contains(got, `"level":"warning"`) || !strings.Contains(got, "ociVersion") {
			t.Errorf("log: %s", got)
		}
	})
}

func TestLogText(t *testing.T) {
	b := harness.New(t)
	log := filepath.Join(b.Dir, "log")
	b.Fails("does not exist", "--log", log, "state", b.ID)
	if got := read(t, log); !strings.Contains(got, "level=error") || !strings.Contains(got, "does not exist") {
		t.Errorf("got %q", got)
	}
}

// TestLogAppends: the log of a failed create isn't lost by the delete after it.
func TestLogAppends(t *testing.T) {
	b := harness.New(t)
	log := filepath.Join(b.Dir, "log")
	for range 2 {
		b.Fails("", "--log", log, "--log-format", "json", "state", b.ID)
	}
	if got := strings.Count(read(t, log), "\n"); got != 2 {
		t.Errorf("%d lines", got)
	}
}

// TestSilence: nothing is written to standard error or the log if there is no problem.
func TestSilence(t *testing.T) {
	b := harness.New(t)
	log := filepath.Join(b.Dir, "log")
	r := b.Do("--log", log, "--log-format", "json", "run", "--bundle", b.Bundle, b.ID)
	if out := r.OK(b); out != "" || r.Stderr != "" {
		t.Errorf("stdout %q, stderr %q", out, r.Stderr)
	}
	if data, err := os.ReadFile(log); err == nil && len(data) > 0 {
		t.Errorf("log: %s", data)
	}
}

// TestBrokenConfig: clear errors, and nothing is made.
func TestBrokenConfig(t *testing.T) {
	cases := []struct {
		name   string
		config func(t *testing.T, path string)
	}{
		{"missing", func(t *testing.T, path string) {}},
		{"a directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }},
		{"empty", func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o644)) }},
		{"truncated", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(`{"ociVersion": "1.0.`), 0o644)) }},
		{"not JSON", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("ociVersion: 1.0.0"), 0o644)) }},
		{"wrong type", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(`{"ociVersion":"1.0.0","process":{"args":"true"}}`), 0o644))
		}},
		{"empty object", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(`{}`), 0o644)) }},
		{"100 MiB", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o644))
			must(t, os.Truncate(path, 100<<20))
		}},
		{"a fifo", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t)
			path := filepath.Join(b.Bundle, "config.json")
			must(t, os.Remove(path))
			if tc.config == nil {
				harness.OrlopOnly(t, "others wait for a writer")
				mkfifo(t, path)
			} else {
				tc.config(t, path)
			}
			r := b.Do("create", "--bundle", b.Bundle, b.ID)
			r.Fails(b, "")
			if harness.Name() == "orlop" && !strings.Contains(r.Stderr, "config.json") {
				t.Errorf("the error doesn't name the file: %s", r.Stderr)
			}
			if strings.Contains(r.Stderr, "goroutine ") {
				t.Errorf("a panic: %s", r.Stderr)
			}
			b.CheckClean()
		})
	}
}

// TestConfigFaults: each fault is named with its JSON path, all of them at once.
func TestConfigFaults(t *testing.T) {
	cases := []struct {
		path   string
		change func(*specs.Spec)
	}{
		{"process.args", func(s *specs.Spec) { s.Process.Args = nil }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "relative" }},
		{"root", func(s *specs.Spec) { s.Root = nil }},
		{"root.path", func(s *specs.Spec) { s.Root.Path = "no-such-directory" }},
		{"hostname", harness.WithoutNamespace("uts")},
		{"linux.namespaces[5]", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"})
		}},
		{"linux.namespaces[0].type", func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "galaxy" }},
		{"linux.namespaces[0].path", func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "relative" }},
		{"process.rlimits[0].type", func(s *specs.Spec) { s.Process.Rlimits[0].Type = "RLIMIT_SKY" }},
		{"process.rlimits[1]", func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) }},
		{"linux.uidMappings", func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} }},
	}
	for _, tc := range cases {
		t.Run(tc.path, func(t *testing.T) {
			if harness.Name() != "orlop" {
				t.Skip("orlop only: others check less, and name no path")
			}
			b := harness.New(t, tc.change)
			b.Fails(tc.path, "create", "--bundle", b.Bundle, b.ID)
			b.CheckClean()
		})
	}
	t.Run("all at once", func(t *testing.T) {
		harness.OrlopOnly(t, "others stop at the first fault")
		b := harness.New(t, func(s *specs.Spec) {
			s.Process.Args, s.Process.Cwd, s.Linux.Namespaces[0].Type = nil, "relative", "galaxy"
		})
		r := b.Do("create", "--bundle", b.Bundle, b.ID)
		for _, path := range []string{"process.args", "process.cwd", "linux.namespaces[0].type"} {
			r.Fails(b, path)
		}
	})
}

// TestUsage: misuse of the command line is an error, not a panic.
func TestUsage(t *testing.T) {
	b := harness.New(t)
	for _, args := range [][]string{{"create"}, {"start"}, {"state"}, {"kill"}, {"delete"}, {"exec"}, {"exec", b.ID}, {"create", "--no-such-flag", "x"}, {"create", "a", "b"}} {
		r := b.Do(args...)
		r.Fails(b, "")
		if strings.Contains(r.Stderr, "goroutine ") {
			t.Errorf("%q: a panic: %s", args, r.Stderr)
		}
	}
	b.CheckClean()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
