package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

func sh(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func limited(h specs.Hook, seconds int) specs.Hook {
	h.Timeout = &seconds
	return h
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// descriptors counts this process's own.
func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestRunInOrder(t *testing.T) {
	dir := t.TempDir()
	list := []specs.Hook{sh("echo 1 $(cat) >> out"), sh("echo 2 $(cat) >> out"), sh("pwd >> out")}
	if err := Run(Prestart, list, []byte(`{"id":"c1"}`), Host(dir, 0)); err != nil {
		t.Fatal(err)
	}
	want := "1 {\"id\":\"c1\"}\n2 {\"id\":\"c1\"}\n" + dir + "\n"
	if got := read(t, filepath.Join(dir, "out")); got != want {
		t.Errorf("got %q", got)
	}
}

func TestArgumentsAndEnvironment(t *testing.T) {
	t.Setenv("OF_THE_RUNTIME", "1")
	own := strings.Join(os.Environ(), "\x00") + "\x00"
	dir := t.TempDir()
	tests := []struct {
		name      string
		hook      specs.Hook
		args, env string
	}{
		{"all", specs.Hook{
			Path: "/bin/sh", Args: []string{"zero", "-c", "echo; read x", "a b", ""}, Env: []string{"A=1", "B", "A=2"},
		}, "zero\x00-c\x00echo; read x\x00a b\x00\x00", "B\x00A=2\x00"},
		{"none", specs.Hook{Path: "/bin/cat"}, "/bin/cat\x00", own},
		{"empty", specs.Hook{Path: "/bin/cat", Args: []string{}, Env: []string{}}, "/bin/cat\x00", own},
	}
	// The hook waits, and what it was started with is read from outside.
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, stdin, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer stdin.Close()
			stdout, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdout.Close()
			defer out.Close()
			p, err := Host(dir, 0)(test.hook, in, out, out)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Pidfd.Close()
			// It says something: the kernel has finished the exec by then.
			if _, err := stdin.WriteString("x"); err != nil {
				t.Fatal(err)
			}
			if _, err := stdout.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			proc := "/proc/" + strconv.Itoa(p.Pid)
			if got := read(t, proc+"/cmdline"); got != test.args {
				t.Errorf("args %q", got)
			}
			if got := read(t, proc+"/environ"); got != test.env {
				t.Errorf("env %q", got)
			}
			fds, err := os.ReadDir(proc + "/fd")
			if err != nil || len(fds) < 3 {
				t.Errorf("descriptors: %v, %v", fds, err)
			}
			for _, fd := range fds {
				// Ones that this process itself was left with, open on exec, are its caller's affair.
				n, _ := strconv.Atoi(fd.Name())
				if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); n > 2 && (err != nil || flags != 0) {
					t.Errorf("descriptor %d", n)
				}
			}
			if pgid, err := unix.Getpgid(p.Pid); err != nil || pgid != p.Pid {
				t.Errorf("process group %d, %v", pgid, err)
			}
			p.kill()
			if _, err := unix.Wait4(p.Pid, nil, 0, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	tests := []struct {
		name string
		hook specs.Hook
		want string
	}{
		{"status", sh("echo to stdout; echo what went wrong >&2; exit 3"), "exit status 3: what went wrong"},
		{"lines", sh("printf 'a\\nb\\r\\n\\n' >&2; exit 1"), "exit status 1: a; b"},
		{"stdout", sh("echo only here; exit 1"), "exit status 1: only here"},
		{"silent", sh("exit 255"), "exit status 255"},
		{"signal", sh("kill -9 $$"), "killed by SIGKILL"},
		{"long", sh("echo " + long + " >&2; exit 2"), "exit status 2: ..." + long[len(long)-tailSize+1:]},
		{"missing", specs.Hook{Path: "/not/there"}, "no such file or directory"},
		{"directory", specs.Hook{Path: "/etc"}, "permission denied"},
		{"late", limited(sh("echo waiting >&2; exec sleep 1000"), 1), "timed out after 1 s: waiting"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			before := descriptors(t)
			list := []specs.Hook{sh("echo first >> out"), test.hook, sh("echo third >> out")}
			err := Run(CreateRuntime, list, nil, Host(dir, 0))
			want := fmt.Sprintf("hooks.createRuntime[1] %s: %s", test.hook.Path, test.want)
			if err == nil || err.Error() != want {
				t.Fatalf("got %v\nwant %s", err, want)
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != CreateRuntime || e.Index != 1 || e.Path != test.hook.Path {
				t.Errorf("error %+v", e)
			}
			if got := read(t, filepath.Join(dir, "out")); got != "first\n" {
				t.Errorf("ran: %q", got)
			}
			warnings := RunAll(Poststop, []specs.Hook{test.hook, sh("echo all >> out"), test.hook}, nil, Host(dir, 0))
			if len(warnings) != 2 || !strings.HasPrefix(warnings[1].Error(), "hooks.poststop[2] ") {
				t.Errorf("warnings: %v", warnings)
			}
			if got := read(t, filepath.Join(dir, "out")); got != "first\nall\n" {
				t.Errorf("ran: %q", got)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func TestErrorTypes(t *testing.T) {
	start := Host("/", 0)
	var exit *ExitError
	if err := Run(Poststart, []specs.Hook{sh("exit 7")}, nil, start); !errors.As(err, &exit) || exit.Status.ExitStatus() != 7 {
		t.Errorf("exit: %v", err)
	}
	var late *TimeoutError
	if err := Run(Poststart, []specs.Hook{limited(sh("exec sleep 1000"), 1)}, nil, start); !errors.As(err, &late) || late.Timeout != time.Second {
		t.Errorf("timeout: %v", err)
	}
	if err := Run(Poststart, []specs.Hook{{Path: "/not/there"}}, nil, start); !errors.Is(err, unix.ENOENT) {
		t.Errorf("start: %v", err)
	}
}

// A hook out of time is killed with all that it has started, and is reaped.
func TestTimeoutKillsGroup(t *testing.T) {
	dir := t.TempDir()
	// The children hold the writing end of a fifo; its reader sees the end when all are dead.
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	begin := time.Now()
	err = Run(Prestart, []specs.Hook{limited(sh("exec 9>fifo; echo $$ >&9; trap '' TERM; sleep 1000 & sleep 1000 & wait"), 1)}, nil, Host(dir, 0))
	if took := time.Since(begin); took < time.Second || took > hang.Limit {
		t.Errorf("took %v", took)
	}
	var late *TimeoutError
	if !errors.As(err, &late) {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(hang.Limit)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		t.Fatalf("the hook's children live on: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("hook not reaped: %v", err)
	}
}

// A state that is longer than a pipe neither blocks nor breaks a hook that reads none, some or all
// of it.
func TestLongState(t *testing.T) {
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20, 3 << 20} {
		dir := t.TempDir()
		state := bytes.Repeat([]byte("x"), size)
		list := []specs.Hook{
			sh("true"),
			sh("exec <&-; true"),
			sh("head -c 1 > one"),
			sh("cat > all"),
			sh("cat /dev/stdin > again"),
		}
		if err := Run(Prestart, list, state, Host(dir, 0)); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		for _, name := range []string{"all", "again"} {
			if got := read(t, filepath.Join(dir, name)); got != string(state) {
				t.Errorf("%d bytes: %s has %d", size, name, len(got))
			}
		}
	}
}

// The memory file is what a state becomes that no pipe holds, whatever the limit for pipes is here.
func TestMemoryFile(t *testing.T) {
	f, err := memoryFile([]byte("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a hook can write to it")
	}
	buf := make([]byte, 10)
	if n, err := f.Read(buf); err != nil || string(buf[:n]) != "state" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

// More output than a pipe holds does not block a hook.
func TestMuchOutput(t *testing.T) {
	if err := Run(Prestart, []specs.Hook{sh("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")}, nil, Host("/", 0)); err != nil {
		t.Fatal(err)
	}
}

// What a hook leaves in the background with its streams open is not waited for.
func TestBackground(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	if err := Run(Prestart, []specs.Hook{sh("sleep 1000 & echo $! > pid")}, nil, Host(dir, 0)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > hang.Limit {
		t.Errorf("took %v", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, "pid"))))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("background process: %v", err)
	}
}

// One that writes without end does not keep the runtime either, and its limit holds.
func TestEndlessOutput(t *testing.T) {
	err := Run(Prestart, []specs.Hook{limited(sh("exec cat /dev/zero"), 1)}, nil, Host("/", 0))
	var late *TimeoutError
	if !errors.As(err, &late) {
		t.Error(err)
	}
}

// TestSlack: a hook has the timer slack that is given, and not that of the thread which starts it.
func TestSlack(t *testing.T) {
	runtime.LockOSThread() // and no unlocking: the thread ends with the test
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 2_000_000, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Run(Prestart, []specs.Hook{sh("cat /proc/self/timerslack_ns > out")}, nil, Host(dir, 50_001)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "out")); got != "50001\n" {
		t.Errorf("got %s", got)
	}
}

func TestBundleIsGone(t *testing.T) {
	dir := t.TempDir()
	h := sh("pwd > " + filepath.Join(dir, "out"))
	for _, gone := range []string{"", filepath.Join(dir, "gone")} {
		if err := Run(Poststop, []specs.Hook{h}, nil, Host(gone, 0)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(dir, "out")); got != "/\n" {
			t.Errorf("ran in %q", got)
		}
	}
}
