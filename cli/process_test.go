package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// inCommand parses a command line and calls do as the command's action.
func inCommand(t *testing.T, line []string, do func(*program, *cli.Context) error) error {
	t.Helper()
	devNull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	p := &program{stdin: devNull, stdout: devNull, stderr: devNull, log: newLogger(devNull)}
	app := p.newApp()
	args := p.arrange(app, line)
	app.Commands[0].Action = func(ctx *cli.Context) error { return do(p, ctx) }
	return app.Run(args)
}

func TestExecFlags(t *testing.T) {
	base := func() *specs.Process {
		return &specs.Process{
			Terminal: true, Args: []string{"init"}, Cwd: "/", User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}},
			Env:          []string{"A=1", "PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"},
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Inheritable: []string{"CAP_KILL"}},
		}
	}
	cases := []struct {
		name  string
		flags []string
		want  func(p *specs.Process)
	}{
		{"none", nil, func(*specs.Process) {}},
		{"tty", []string{"-t"}, func(p *specs.Process) { p.Terminal = true }},
		{"cwd", []string{"--cwd", "/x"}, func(p *specs.Process) { p.Cwd = "/x" }},
		{"env by both names", []string{"-e", "B= 2,3 ", "--env", "C"}, func(p *specs.Process) { p.Env = append(p.Env, "B= 2,3 ", "C") }},
		{"env that is not UTF-8", []string{"-e", "B=\xff"}, func(p *specs.Process) { p.Env = append(p.Env, "B=\xff") }},
		{"env in place of another", []string{"-e", "A=2"}, func(p *specs.Process) { p.Env = []string{"PATH=/bin", "A=2"} }},
		{"user", []string{"-u", "1000"}, func(p *specs.Process) { p.User.UID = 1000 }},
		{"user and group", []string{"--user=1000:0"}, func(p *specs.Process) { p.User.UID, p.User.GID = 1000, 0 }},
		{"gids", []string{"-g", "4", "-g", "5"}, func(p *specs.Process) { p.User.AdditionalGids = []uint32{3, 4, 5} }},
		{"no new privileges", []string{"--no-new-privs"}, func(p *specs.Process) { p.NoNewPrivileges = true }},
		{"cap", []string{"-c", "CAP_KILL", "--cap", "CAP_CHOWN"}, func(p *specs.Process) {
			both := []string{"CAP_KILL", "CAP_CHOWN"}
			p.Capabilities.Bounding, p.Capabilities.Effective, p.Capabilities.Permitted = both, both, both
			p.Capabilities.Ambient = []string{"CAP_KILL"} // it is inheritable
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, want := base(), base()
			want.Args, want.Terminal, want.Env = []string{"sh", "-c", "id"}, false, []string{"A=1", "PATH=/bin"}
			tc.want(want)
			line := append(append([]string{"exec"}, tc.flags...), "box", "sh", "-c", "id")
			if err := inCommand(t, line, func(_ *program, ctx *cli.Context) error { return amendProcess(got, ctx) }); err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if string(a) != string(b) || !slices.Equal(got.Env, want.Env) {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
		})
	}
	for _, flags := range []string{"-u=root", "-u=-1", "-u=4294967296", "-u=4294967295", "-u=0x1", "-u=1:", "-u=:1", "-u=1:2:3",
		"--user=+1", "-g=x", "-g=-1", "-g=1,2", "--cap=CAP_KILL,CAP_CHOWN", "--additional-gids= 1", "--cap=CAP_NOSUCH", "--cap=KILL"} {
		err := inCommand(t, []string{"exec", flags, "box", "sh"}, func(_ *program, ctx *cli.Context) error { return amendProcess(base(), ctx) })
		if err == nil || codeOf(err) != "usage" {
			t.Errorf("%s: %v", flags, err)
		}
	}
}

// bundle creates a bundle from the example, with a change.
func bundle(t *testing.T, change func(*specs.Spec)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := specconv.Example()
	change(s)
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestConsoleRules: some combinations of terminal, detach and console socket are refused, in runc's
// words.
func TestConsoleRules(t *testing.T) {
	const needs, useless = "cannot allocate tty if", "cannot use console socket if"
	terminal := bundle(t, func(*specs.Spec) {})
	plain := bundle(t, func(s *specs.Spec) { s.Process.Terminal = false })
	cases := []struct{ line, bundle, want string }{
		{"create", terminal, needs},
		{"create --console-socket /s", terminal, ""},
		{"create --console-socket /s", plain, useless},
		{"create", plain, ""},
		{"run", terminal, ""},
		{"run -d", terminal, needs},
		{"run --console-socket /s", terminal, useless},
		{"run -d --console-socket /s", terminal, ""},
		{"run -d --console-socket /s", plain, useless},
	}
	for _, tc := range cases {
		line := append(strings.Fields(tc.line), "--bundle", tc.bundle, "box")
		err := inCommand(t, line, func(p *program, ctx *cli.Context) error {
			b, err := p.loadBundle(ctx)
			if err != nil {
				return err
			}
			s, err := p.streams(ctx, b.Spec.Process.Terminal, ctx.Command.Name == "create" || ctx.Bool("detach"))
			if err == nil && (s.Stdin == nil) != b.Spec.Process.Terminal {
				t.Errorf("%q: stdin %v", line, s.Stdin)
			}
			return err
		})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", line, err, tc.want)
		}
	}
}

func TestSeccomp(t *testing.T) {
	dir := bundle(t, func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno} })
	for _, command := range []string{"create", "run", "plan"} {
		kept := func(flags ...string) (kept bool) {
			err := inCommand(t, append(append([]string{command}, flags...), "--bundle", dir, "box"), func(p *program, ctx *cli.Context) error {
				b, err := p.loadBundle(ctx)
				kept = err == nil && b.Spec.Linux.Seccomp != nil
				return err
			})
			if err != nil {
				t.Errorf("%s %q: %v", command, flags, err)
			}
			return kept
		}
		if !kept() || kept("--no-seccomp") {
			t.Errorf("%s: the profile is kept: %v, with --no-seccomp: %v", command, kept(), kept("--no-seccomp"))
		}
	}
}

func TestNoProcess(t *testing.T) {
	dir := bundle(t, func(s *specs.Spec) { s.Process = nil })
	call(t, "run", "--bundle", dir, "box").fails(t, 1, "config.json: process: is required")
	if r := call(t, "plan", "--bundle", dir); r.status != 0 {
		t.Errorf("plan: %+v", r)
	}
}

func TestInherited(t *testing.T) {
	var in inheritance
	fds := make([]int, 2)
	if err := unix.Pipe(fds); err != nil { // without close-on-exec, as from a caller
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	if err := in.take(fds[0]); err != nil || len(in.files) != 1 || in.files[0].Fd() != uintptr(fds[0]) {
		t.Errorf("%v, %v", in.files, err)
	}
	unix.CloseOnExec(fds[1])
	if err := in.take(fds[1]); err != unix.EBADF {
		t.Errorf("one of our own: %v", err)
	}
	in.files[0].Close()
	if err := in.take(fds[0]); err != unix.EBADF {
		t.Errorf("closed: %v", err)
	}
	if _, err := inherited(1000, false); err == nil || !strings.Contains(err.Error(), "unable to stat preserved-fd ") {
		t.Errorf("more than there are: %v", err)
	}
	if _, err := inherited(-1, false); codeOf(err) != "usage" {
		t.Errorf("negative: %v", err)
	}
}

func TestListenFDs(t *testing.T) {
	cases := []struct {
		env  string
		want int
		ok   bool
	}{
		{"", 0, true},
		{"LISTEN_FDS=2 LISTEN_PID=7", 2, true},
		{"LISTEN_FDS=2 LISTEN_PID=8", 0, true}, // for another process
		{"LISTEN_FDS=2", 0, true},
		{"LISTEN_FDS=x LISTEN_PID=7", 0, false},
		{"LISTEN_FDS=-1 LISTEN_PID=7", 0, false},
	}
	for _, tc := range cases {
		getenv := func(key string) string {
			i := slices.IndexFunc(strings.Fields(tc.env), func(s string) bool { return strings.HasPrefix(s, key+"=") })
			if i < 0 {
				return ""
			}
			return strings.Fields(tc.env)[i][len(key)+1:]
		}
		if got, err := listened(getenv, 7); got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %d, %v", tc.env, got, err)
		}
	}
}

func TestDefaultRoot(t *testing.T) {
	const initial, mapped = "         0          0 4294967295\n", "         0       1000          1\n"
	cases := []struct {
		rootless, xdg, user, idMap string
		euid                       int
		want                       string
	}{
		{"auto", "", "", initial, 0, "/run/orlop"},
		{"auto", "/x", "", initial, 0, "/run/orlop"},
		{"auto", "/x", "", mapped, 0, "/x/orlop"},
		{"auto", "/x", "root", mapped, 0, "/run/orlop"},
		{"auto", "/x", "", initial, 1000, "/x/orlop"},
		{"auto", "", "", initial, 1000, "/run/orlop"},
		{"true", "/x", "", initial, 0, "/x/orlop"},
		{"false", "/x", "", mapped, 1000, "/run/orlop"},
	}
	for i, tc := range cases {
		r, ok := parseRootless(tc.rootless)
		if !ok {
			t.Fatal(tc.rootless)
		}
		env := map[string]string{"XDG_RUNTIME_DIR": tc.xdg, "USER": tc.user}
		got := defaultRoot(r, tc.euid, func(key string) string { return env[key] },
			func(string) ([]byte, error) { return []byte(tc.idMap), nil })
		if got != tc.want {
			t.Errorf("case %s: %s, want %s", strconv.Itoa(i), got, tc.want)
		}
	}
}

func TestForwarded(t *testing.T) {
	list := forwarded()
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGTSTP, unix.SIGCONT, 34, 64} {
		if !slices.Contains(list, s) {
			t.Errorf("%v is not forwarded", s)
		}
	}
	for _, s := range []unix.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGWINCH, unix.SIGKILL, unix.SIGSTOP, unix.SIGSEGV, unix.SIGILL} {
		if slices.Contains(list, s) {
			t.Errorf("%v is forwarded", s)
		}
	}
}
