package setup

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

func TestCredentials(t *testing.T) {
	tr := newTrial(t, `id; grep -E '^(Groups|Cap...|NoNewPrivs|Umask)' /proc/self/status; readlink /proc/self/ns/user; ls -ld /proc/self/`)
	tr.spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 5}, Umask: ptr(uint32(0o77))}
	tr.spec.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding:    []string{"CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"},
		Permitted:   []string{"CAP_KILL", "CAP_CHOWN"},
		Effective:   []string{"CAP_KILL"},
		Inheritable: []string{"CAP_KILL"},
		Ambient:     []string{"CAP_KILL"},
	}
	out := tr.out()
	contains(t, out, "uid=1000 gid=1001 groups=5,7", "CapInh:\t0000000000000020\n", "CapPrm:\t0000000000000020\n", "CapEff:\t0000000000000020\n",
		"CapBnd:\t0000000000002021\n", "CapAmb:\t0000000000000020\n", "NoNewPrivs:\t1", "Umask:\t0077")
}

func TestNoCapabilities(t *testing.T) {
	tr := newTrial(t, `grep -E '^(Groups|Cap...|NoNewPrivs)' /proc/self/status`)
	tr.spec.Process.Capabilities = nil
	tr.spec.Process.NoNewPrivileges = false
	zero := ":\t0000000000000000\n"
	contains(t, tr.out(), "CapInh"+zero, "CapPrm"+zero, "CapEff"+zero, "CapBnd"+zero, "CapAmb"+zero, "NoNewPrivs:\t0", "Groups:\t \n")
}

func TestCapabilitiesThatAreNotThere(t *testing.T) {
	spec := newTrial(t, `grep CapPrm /proc/self/status`)
	spec.facts.Grantable = 1 << unix.CAP_KILL
	p, err := Container(spec.bundle(), spec.options, spec.facts)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 1 || p.Warnings[0] != "process.capabilities: the runtime does not have NET_BIND_SERVICE AUDIT_WRITE: left out" {
		t.Errorf("warnings: %q", p.Warnings)
	}
	out, err := spec.runPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "0000000000000020")
}

func TestLimits(t *testing.T) {
	tr := newTrial(t, `ulimit -S -n; ulimit -H -n; ulimit -c; ulimit -H -u; ulimit -S -s`)
	tr.spec.Process.Rlimits = []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 4, Hard: 6},
		{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
		{Type: "RLIMIT_NPROC", Soft: 500, Hard: 600},
		{Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: unix.RLIM_INFINITY},
	}
	tr.spec.Process.User.UID = 54321
	if out := tr.out(); out != "4\n6\n0\n600\n1024\n" {
		t.Errorf("output:\n%s", out)
	}
}

func TestCwd(t *testing.T) {
	cases := []struct{ cwd, want string }{
		{"/", "/"}, {"/made/when/missing", "/made/when/missing"}, {"/link", "/bin"}, {"/../../bin", "/bin"},
		{"/up", "/"}, {"/proc/self/fd/3", ""}, {"/proc/1/root/tmp", ""}, {"/bin/busybox", ""},
	}
	for _, tc := range cases {
		tr := newTrial(t, "pwd -P")
		tr.spec.Process.Cwd = tc.cwd
		for link, to := range map[string]string{"link": "/bin", "up": "../../../.."} {
			if err := os.Symlink(to, tr.path(link)); err != nil {
				t.Fatal(err)
			}
		}
		out, err := tr.run()
		if tc.want == "" && err == nil || tc.want != "" && out != tc.want+"\n" {
			t.Errorf("cwd %s: output %q, %v", tc.cwd, out, err)
		}
	}
}

// TestCwdOfUser: a folder that only the user may enter, and one that only root may.
func TestCwdOfUser(t *testing.T) {
	tr := newTrial(t, "pwd -P 2>&1")
	if err := os.Mkdir(tr.path("home"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tr.path("home"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	tr.spec.Process.Cwd = "/home"
	tr.spec.Process.User.UID = 1000
	if out := tr.out(); out != "/home\n" {
		t.Errorf("output %q", out)
	}
}

func TestFind(t *testing.T) {
	cases := []struct {
		arg, path, want string
	}{
		{"true", "PATH=/nothing:/bin", ""},
		{"true", "PATH=/folder:/plain:/bin", ""},
		{"./bin/true", "PATH=", ""},
		{"foo", "PATH=/bin:/folder", `process.args: exec "foo": executable file not found in $PATH`},
		{"true", "X=y", `process.args: exec "true": executable file not found in $PATH`},
		{"/bin/foo", "PATH=/bin", `process.args: exec "/bin/foo": no such file or directory`},
		{"/plain/true", "PATH=/bin", `process.args: exec "/plain/true": permission denied`},
		{"/bin", "PATH=/bin", `process.args: exec "/bin": permission denied`},
		{"/secret/true", "PATH=/bin", `process.args: exec "/secret/true": permission denied`},
		{"/script", "PATH=/bin", `process.args: exec "/script": no such file or directory`}, // its interpreter
		{"/empty", "PATH=/bin", `process.args: exec "/empty": exec format error`},
	}
	for _, tc := range cases {
		tr := newTrial(t, "")
		tr.write("plain/true", "x")
		tr.write("secret/true", "x")
		tr.write("script", "#!/nothing\n")
		tr.write("empty", "x")
		for name, mode := range map[string]os.FileMode{"secret/true": 0o755, "secret": 0o700, "script": 0o755, "empty": 0o755} {
			if err := os.Chmod(tr.path(name), mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(tr.path("folder/true"), 0o755); err != nil {
			t.Fatal(err)
		}
		tr.spec.Process.Args = []string{tc.arg}
		tr.spec.Process.Env = []string{tc.path}
		tr.spec.Process.User.UID = 1000
		_, err := tr.run()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("exec %q with %s: %q, want %q", tc.arg, tc.path, got, tc.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	tr := newTrial(t, "env")
	tr.spec.Process.Args = []string{"/bin/env"}
	tr.spec.Process.Env = []string{"A=b", "HOME=", "A=c"}
	if out := tr.out(); out != "A=b\nA=c\nHOME=/\n" {
		t.Errorf("output %q", out)
	}
	tr.facts.Home = "/home/web"
	if out := tr.out(); out != "A=b\nA=c\nHOME=/home/web\n" {
		t.Errorf("output %q", out)
	}
	tr.spec.Process.Env = []string{"HOME=/set"}
	if out := tr.out(); out != "HOME=/set\n" {
		t.Errorf("output %q", out)
	}
}

func TestPersonality(t *testing.T) {
	tr := newTrial(t, "cat /proc/self/personality; /bin/busybox uname -m")
	tr.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	contains(t, tr.out(), "00000008\n")
}

// TestKeyring looks for the session keyring among the keys that a process has.
func TestKeyring(t *testing.T) {
	if _, err := os.Stat("/proc/keys"); err != nil {
		t.Skip("no /proc/keys")
	}
	tr := newTrial(t, "cat /proc/keys")
	tr.spec.Linux.MaskedPaths = nil
	tr.options.ID = "keyringtest"
	contains(t, tr.out(), "3f1b0000", "_ses.keyringtest")
	tr.options.NoNewKeyring, tr.options.ID = true, "keyringtest2"
	if out := tr.out(); strings.Contains(out, "_ses.keyringtest2") {
		t.Errorf("output:\n%s", out)
	}
}

func TestInherit(t *testing.T) {
	tr := newTrial(t, "cat <&3; ls /proc/self/fd")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString("passed\n")
	w.Close()
	defer r.Close()
	tr.inherit = []*os.File{r}
	tr.options.Inherit = 1
	tr.spec.Process.Args = []string{"/bin/sh", "-c", "cat <&3; exec ls /proc/self/fd"}
	if out := tr.out(); out != "passed\n0\n1\n2\n3\n4\n" { // 4 is ls's own
		t.Errorf("output %q", out)
	}
}

func TestHooks(t *testing.T) {
	tr := newTrial(t, "cat /made")
	tr.spec.Root.Readonly = false
	tr.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/x"}}, CreateContainer: []specs.Hook{{Path: "/bin/busybox"}}}
	var order []int
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		order = append(order, m.ID)
		if m.ID != MessageHooks {
			return true
		}
		// The hook's path and the root's are the runtime's, the namespaces the container's.
		out := tr.hook(p, specs.Hook{Path: busybox, Args: []string{"sh", "-c", `grep -q ' ` + tr.path("dev") + ` ' /proc/self/mountinfo && echo "$A" >` + tr.path("made")},
			Env: []string{"A=hook"}}, nil)
		if out != "" {
			t.Errorf("the hook says %q", out)
		}
		return true
	}
	if out := tr.out(); out != "hook\n" {
		t.Errorf("output %q", out)
	}
	if len(order) != 2 || order[0] != MessageHooks || order[1] != MessageReady {
		t.Errorf("messages %v", order)
	}
}

// all are the namespaces of the example.
const all = unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNS

// hook runs a hook in the namespaces of a process and returns its output.
func (tr *trial) hook(p *nsenter.Process, h specs.Hook, as *specs.Process) string {
	tr.t.Helper()
	plan, err := Hook(h, as, Join{Namespaces: all}, Facts{})
	if err != nil {
		tr.t.Fatal(err)
	}
	out, err := joined(tr.t, plan, p, nil)
	if err != nil {
		tr.t.Error(err)
	}
	return out
}

// joined runs a plan that joins the container of p.
func joined(t *testing.T, plan *Plan, p *nsenter.Process, onMessage func(*nsenter.Process, nsenter.Message) bool) (string, error) {
	t.Helper()
	child := 0
	tr := &trial{t: t, named: []nsenter.NamedFile{{Name: string(PidfdOfContainer), File: p.Pidfd}}}
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		if m.ID == MessageChild {
			child = int(m.Value)
			return false
		}
		return onMessage != nil && onMessage(p, m)
	}
	out, err := tr.runPlan(plan)
	if child == 0 {
		if err == nil {
			t.Error("there was no message of the child")
		}
		return out, err
	}
	var status unix.WaitStatus
	if _, werr := unix.Wait4(child, &status, unix.WALL, nil); werr != nil {
		t.Error(werr)
	}
	if err == nil && status != 0 {
		err = errors.New("status of the child")
	}
	return out, err
}

// TestExec joins a container that waits to be started.
func TestExec(t *testing.T) {
	tr := newTrial(t, "true")
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		run := func(change func(p *specs.Process)) (string, error) {
			process := *tr.spec.Process
			process.Args = []string{"sh", "-c", `echo $$ $A; readlink /proc/self/ns/mnt; ls /; id; cat /proc/self/oom_score_adj; pwd; grep -E 'CapPrm|CapInh|CapAmb' /proc/self/status`}
			process.Env = []string{"PATH=/bin", "A=joined"}
			change(&process)
			plan, err := Exec(&process, Join{Namespaces: all}, Options{ID: "web"}, Facts{})
			if err != nil {
				t.Fatal(err)
			}
			if !plan.Clones() {
				t.Error("the plan does not clone")
			}
			return joined(t, plan, p, nil)
		}
		out, err := run(func(p *specs.Process) {
			p.User.UID, p.OOMScoreAdj, p.Cwd = 1000, ptr(321), "/bin"
		})
		if err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(out, "2 joined\n") {
			t.Errorf("output %q", out)
		}
		contains(t, out, "uid=1000", "321\n/bin\n", "bin\n", "CapInh:\t0000000000000000\n", "CapAmb:\t0000000000000000\n")
		_, err = run(func(p *specs.Process) { p.Args = []string{"nothing"} })
		if err == nil || err.Error() != `process.args: exec "nothing": executable file not found in $PATH` {
			t.Error(err)
		}
		if _, err = run(func(p *specs.Process) { p.Cwd = "/nothing" }); !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
		// CVE-2024-21626
		if _, err = run(func(p *specs.Process) { p.Cwd = "/proc/self/fd/5" }); err == nil {
			t.Error("a descriptor is a working folder")
		}
		out = tr.hook(p, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u; /bin/env"}}, &specs.Process{User: specs.User{UID: 1000}, Cwd: "/"})
		if !strings.HasPrefix(out, "1000\n") || strings.Contains(out, "HOME") {
			t.Errorf("the hook says %q", out)
		}
		return true
	}
	tr.out()
}

// TestJoinByPath gives a container the namespaces of another one by their files.
func TestJoinByPath(t *testing.T) {
	tr := newTrial(t, "true")
	tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
		other := newTrial(t, `echo $$; readlink /proc/self/ns/net; readlink /proc/self/ns/uts; hostname; mount | grep -c ' on / '`)
		other.spec.Process.Args[3] = `echo $$; for n in net uts ipc pid; do readlink /proc/self/ns/$n; done; hostname`
		other.spec.Hostname = ""
		want := "2\n"
		for i, n := range other.spec.Linux.Namespaces {
			file := map[specs.LinuxNamespaceType]string{specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}[n.Type]
			if file != "" {
				other.spec.Linux.Namespaces[i].Path = filepath.Join("/proc", itoa(p.Pid), "ns", file)
			}
		}
		for _, file := range []string{"net", "uts", "ipc", "pid"} {
			link, err := os.Readlink(filepath.Join("/proc", itoa(p.Pid), "ns", file))
			if err != nil {
				t.Fatal(err)
			}
			want += link + "\n"
		}
		plan, err := Container(other.bundle(), Options{}, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := joined2(t, plan)
		if err != nil || out != want+"orlop\n" {
			t.Errorf("output %q, want %q; %v", out, want, err)
		}
		return true
	}
	tr.out()
}

func joined2(t *testing.T, plan *Plan) (string, error) {
	return joined(t, plan, &nsenter.Process{Pidfd: os.Stdin}, func(_ *nsenter.Process, m nsenter.Message) bool { return m.ID == MessageReady })
}

// TestStartSocket starts a container through its socket, and sees its exec fail there.
func TestStartSocket(t *testing.T) {
	for _, fails := range []bool{false, true} {
		tr := newTrial(t, "exit 0")
		tr.options.StartSocket = true
		if fails {
			tr.write("script", "#!/nothing\n")
			if err := os.Chmod(tr.path("script"), 0o755); err != nil {
				t.Fatal(err)
			}
			tr.spec.Process.Args = []string{"/script"}
		}
		pair, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		address := &unix.SockaddrUnix{Name: filepath.Join(tr.dir, "start")}
		if err := errors.Join(unix.Bind(pair, address), unix.Listen(pair, 1)); err != nil {
			t.Fatal(err)
		}
		socket := os.NewFile(uintptr(pair), "start")
		defer socket.Close()
		tr.named = []nsenter.NamedFile{{Name: string(StartSocket), File: socket}}
		plan, err := Container(tr.bundle(), tr.options, tr.facts)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := plan.Lower()
		if err != nil {
			t.Fatal(err)
		}
		record, err := json.Marshal(plan.Remains(prog))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		tr.onMessage = func(p *nsenter.Process, m nsenter.Message) bool {
			if m.ID != MessageReady {
				t.Errorf("message %d", m.ID)
			}
			go func() { ended <- startOver(t, address, record) }()
			return true
		}
		_, err = tr.runPlan(plan)
		want := `process.args: exec "/script": no such file or directory`
		got := <-ended
		if !fails && (got != nil || err != nil) || fails && (got == nil || got.Error() != want) {
			t.Errorf("start: %v; process: %v", got, err)
		}
	}
}

// startOver does what `start` does, knowing nothing but the record.
func startOver(t *testing.T, address unix.Sockaddr, record []byte) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, address); err != nil {
		return err
	}
	conn := nsenter.NewConn(os.NewFile(uintptr(fd), "connection"))
	defer conn.Close()
	m, err := conn.Next()
	if err != nil || m.ID != MessageStart {
		t.Errorf("message %v, %v", m, err)
	}
	if err := conn.Resume(); err != nil {
		return err
	}
	_, err = conn.Next()
	if err == io.EOF {
		return nil
	}
	var f *nsenter.Failure
	if !errors.As(err, &f) {
		return err
	}
	var list []Remaining
	if err := json.Unmarshal(record, &list); err != nil {
		return err
	}
	return ExplainRemaining(list, f)
}

// TestNoProcess: a container without a program can be created.
func TestNoProcess(t *testing.T) {
	tr := newTrial(t, "")
	tr.spec.Process = nil
	_, err := tr.run()
	if err == nil || err.Error() != "process.args: start: there is no program to be executed" {
		t.Error(err)
	}
}

func TestNoMountNamespace(t *testing.T) {
	tr := newTrial(t, "ls /; pwd")
	tr.spec.Mounts = nil
	tr.spec.Root.Readonly = false
	tr.spec.Linux.MaskedPaths, tr.spec.Linux.ReadonlyPaths = nil, nil
	tr.spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.UTSNamespace}}
	contains(t, tr.out(), "bin\ndev\n", "/\n")
}
