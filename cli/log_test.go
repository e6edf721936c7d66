package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/timeout"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
	"github.com/orlop/orlop/tests/hang"
)

// testLogger returns a logger with a file, and both outputs.
func testLogger(t *testing.T, jsonFormat bool) (l *logger, read func() string, stderr *bytes.Buffer) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	made := newLogger(stderr)
	l = &made
	l.file, l.json = f, jsonFormat
	l.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)) }
	return l, func() string {
		t.Helper()
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}, stderr
}

// TestLogOfFailure: Podman parses the whole log as one JSON object, so it must have no warnings.
func TestLogOfFailure(t *testing.T) {
	err := fmt.Errorf("container %q: %w", "a\nb", libcontainer.ErrNotExist)
	cases := []struct {
		json bool
		want string
	}{
		{true, `{"level":"error","msg":"container \"a\\nb\": container does not exist","time":"2026-01-02T02:04:05Z","code":"not-exist"}` + "\n"},
		{false, `time="2026-01-02T02:04:05Z" level=error msg="container \"a\\nb\": container does not exist" code="not-exist"` + "\n"},
	}
	for _, tc := range cases {
		l, log, stderr := testLogger(t, tc.json)
		l.warn("mind the gap")
		l.debug("not asked for")
		if got := l.finish(err); got != err {
			t.Errorf("finish returned %v", got)
		}
		if got := log(); got != tc.want {
			t.Errorf("log\n%s\nwant\n%s", got, tc.want)
		}
		if got, want := stderr.String(), "orlop: warning: mind the gap\n"+err.Error()+"\n"; got != want {
			t.Errorf("stderr %q, want %q", got, want)
		}
	}
}

func TestLogOfSuccess(t *testing.T) {
	l, log, stderr := testLogger(t, true)
	l.warn("before")
	if got := log(); got != "" {
		t.Errorf("log before it is known how the call ends: %q", got)
	}
	l.succeed()
	l.warn("after")
	if err := l.finish(nil); err != nil {
		t.Error(err)
	}
	want := `{"level":"warning","msg":"before","time":"2026-01-02T02:04:05Z"}` + "\n" +
		`{"level":"warning","msg":"after","time":"2026-01-02T02:04:05Z"}` + "\n"
	if got := log(); got != want || stderr.Len() != 0 {
		t.Errorf("log\n%s\nwant\n%s\nstderr %q", got, want, stderr)
	}
}

// TestNotes: notes are warnings in the log. Standard error shows them from level info on.
func TestNotes(t *testing.T) {
	const shown = "orlop: warning: left out\n"
	logged := `{"level":"warning","msg":"left out","time":"2026-01-02T02:04:05Z"}` + "\n"
	for _, tc := range []struct {
		file      bool
		level     level
		err       error
		log, text string // without the error's line
	}{
		{false, levelWarning, nil, "", ""},
		{false, levelInfo, nil, "", shown},
		{false, levelDebug, errors.New("x"), "", shown + "orlop: x\n"},
		{true, levelError, nil, "", ""},
		{true, levelWarning, nil, logged, ""},
		{true, levelWarning, errors.New("x"), "", "x\n"},
		{true, levelInfo, errors.New("x"), "", shown + "x\n"},
	} {
		l, log, stderr := testLogger(t, true)
		if l.level = tc.level; !tc.file {
			_ = l.file.Close()
			l.file, l.json = nil, false
		}
		l.note("left out")
		_ = l.finish(tc.err)
		got := log()
		if tc.err != nil {
			got, _, _ = strings.Cut(got, `{"level":"error"`)
		}
		if got != tc.log || stderr.String() != tc.text {
			t.Errorf("%+v: log %q, standard error %q", tc, got, stderr)
		}
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[level]string{levelError: "", levelWarning: "warning", levelDebug: "debug warning"} {
		l, log, _ := testLogger(t, false)
		l.level = level
		l.debug("x")
		l.warn("x")
		_ = l.finish(nil)
		var got []string
		for line := range strings.Lines(log()) {
			_, rest, _ := strings.Cut(line, "level=")
			kind, _, _ := strings.Cut(rest, " ")
			got = append(got, kind)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %d: %q, want %q", level, got, want)
		}
	}
}

// TestLogFile reads the log like containerd's shim and Podman.
func TestLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log.json")
	r := call(t, "--log", file, "--log-format", "json", "state", "absent")
	r.fails(t, 1, "container does not exist")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		Level, Msg, Code string
		Time             time.Time
	}
	if err := json.Unmarshal(data, &entry); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	if entry.Level != "error" || entry.Msg+"\n" != r.stderr || entry.Code != "not-exist" || time.Since(entry.Time).Abs() > hang.Limit {
		t.Errorf("%+v, stderr %q", entry, r.stderr)
	}
	call(t, "--log", file, "--log-format", "json", "state", "absent")
	if after, err := os.ReadFile(file); err != nil || bytes.Count(after, []byte("\n")) != 2 {
		t.Errorf("the log isn't appended to: %q, %v", after, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestJSONOnStderr(t *testing.T) {
	for _, flags := range [][]string{{"--log-format=json"}, {"--log", "/dev/stderr", "--log-format=json"}} {
		r := call(t, append(flags, "state", "absent")...)
		var entry map[string]string
		if err := json.Unmarshal([]byte(r.stderr), &entry); err != nil || entry["level"] != "error" {
			t.Errorf("%q: %q: %v", flags, r.stderr, err)
		}
	}
}

func TestDetails(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("container: %w", errors.Join(errors.New("first"), err)) }
	cases := []struct {
		err  error
		want string
	}{
		{errors.New("x"), "code=internal"},
		{timeout.Errorf("x"), "code=timeout"},
		{&specconv.FieldError{Path: "mounts[0]", Err: timeout.Errorf("x")}, "code=timeout field=mounts[0]"},
		{&libcontainer.HookError{Kind: "poststart", Path: "/x", Err: timeout.Errorf("x")}, "code=hook path=/x field=hooks.poststart[0]"},
		{timeout.Errorf("x: %w", unix.EBUSY), "code=timeout errno=EBUSY"},
		{specconv.Problem("x"), "code=config"},
		{fmt.Errorf("x: %w", libcontainer.ErrNewer), "code=newer"},
		{&libcontainer.SystemdError{Name: "failed"}, "code=systemd"},
		{&exec.Error{Name: "ps", Err: exec.ErrNotFound}, "code=program"},
		{&cgroups.SubError{Sub: "x"}, "code=usage"},
		{libcontainer.ErrExist, "code=exist"},
		{libcontainer.ErrPaused, "code=paused"},
		{libcontainer.ErrNotPaused, "code=not-paused"},
		{libcontainer.ErrNoCgroup, "code=no-cgroup"},
		{libcontainer.ErrForeign, "code=foreign"},
		{&specconv.FieldError{Path: "linux.cgroupsPath", Err: libcontainer.ErrCgroupInUse}, "code=cgroup-in-use field=linux.cgroupsPath"},
		{libcontainer.ErrNoRDT, "code=no-rdt-group"},
		{specconv.ValidateID(".."), "code=invalid-id"},
		{usagef("x"), "code=usage"},
		{&specconv.FieldError{Path: "linux.intelRdt", Err: libcontainer.ErrNoResctrl}, "code=unsupported field=linux.intelRdt"},
		{&specconv.FieldError{Path: "linux.netDevices.eth0", Err: unix.ENODEV}, "code=host errno=ENODEV field=linux.netDevices.eth0"},
		{execError{libcontainer.ErrNotRunning}, "code=not-running"},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, "code=system errno=EACCES path=/x"},
		{&libcontainer.HookError{Kind: "poststart", Index: 2, Path: "/x", Err: unix.ENOENT}, "code=hook errno=ENOENT path=/x field=hooks.poststart[2]"},
		{fmt.Errorf("config.json: %w", &codec.SyntaxError{Line: 1, Column: 2, Problem: "x"}), "code=config"},
		{&libcontainer.LockError{Path: "/x"}, "code=timeout"},
		{fmt.Errorf("read: %w", libcontainer.ErrDamaged), "code=damaged"},
		{&setup.RuleError{Rule: "x"}, "code=internal"},
		{fmt.Errorf("config.json: %w", specconv.Faults{specconv.Invalid("root.path", "is required"), specconv.Invalid("mounts", "x")}),
			"code=config field=root.path"},
		{&specconv.FieldError{Path: "linux.resources.pids.limit", Err: &cgroups.ResourceError{File: "/c/pids.max", Value: "3", Err: unix.EBUSY}},
			"code=resource errno=EBUSY path=/c/pids.max field=linux.resources.pids.limit"},
		{&specconv.FieldError{Path: "mounts[0]", Err: &setup.StepError{Title: "mount proc on /proc", Errno: unix.EPERM}},
			"code=step errno=EPERM field=mounts[0] step=mount proc on /proc"},
	}
	for _, tc := range cases {
		for _, err := range []error{tc.err, wrap(tc.err)} {
			var got []string
			for _, d := range details(err) {
				got = append(got, d.key+"="+d.value)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%v: %q, want %q", err, got, tc.want)
			}
		}
	}
}

func TestExitStatus(t *testing.T) {
	if got := exitStatus(errors.New("x")); got != 1 {
		t.Errorf("%d, want 1", got)
	}
	if got := exitStatus(fmt.Errorf("y: %w", execError{errors.New("x")})); got != 255 {
		t.Errorf("exec: %d, want 255", got)
	}
}

// TestLogOfGlobalFlag: the log also has the error of a global flag behind --log.
func TestLogOfGlobalFlag(t *testing.T) {
	for _, flag := range []string{"--cgroup-manager=other", "--rootless=maybe", "--nosuch"} {
		file := filepath.Join(t.TempDir(), "log.json")
		call(t, "--log", file, "--log-format", "json", flag, "state", "x")
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), `"code":"usage"`) {
			t.Errorf("%s: %s, %v", flag, data, err)
		}
	}
}
