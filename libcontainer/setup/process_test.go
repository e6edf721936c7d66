package setup

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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
	if len(p.Notes) != 1 || p.Notes[0] != "process.capabilities: the runtime does not have NET_BIND_SERVICE AUDIT_WRITE: left out" {
		t.Errorf("notes: %q", p.Notes)
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

// TestCwdOfUser: a directory that only the user may enter, and one that only root may.
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
		{"true", "PATH=/directory:/plain:/bin", ""},
		{"./bin/true", "PATH=", ""},
		{"foo", "PATH=/bin:/directory", `process.args: exec "foo": executable file not found in $PATH`},
		{"true", "X=y", `process.args: exec "true": executable file not found in $PATH`},
		{"/bin/foo", "PATH=/bin", `process.args: exec "/bin/foo": no such file or directory`},
		{"/plain/true", "PATH=/bin", `process.args: exec "/plain/true": permission denied`},
		{"/bin", "PATH=/bin", `process.args: exec "/bin": permission denied`},
		{"/secret/true", "PATH=/bin", `process.args: exec "/secret/true": permission denied`},
		// The interpreter of /script does not exist.
		{"/script", "PATH=/bin", `process.args: exec "/script": no such file or directory`},
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
		if err := os.MkdirAll(tr.path("directory/true"), 0o755); err != nil {
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
	for _, tc := range []struct{ env, home, variable, want string }{
		{"A=b HOME= A=c", "", "", "A=c HOME=/"},
		{"A=b HOME=/x HOME= A=c", "/home/web", "", "A=c HOME=/home/web"},
		{"HOME= HOME=/set", "/home/web", "", "HOME=/set"},
		{"B=1", strings.Repeat("/x", MaxHome/2), "", "B=1 HOME=" + strings.Repeat("/x", MaxHome/2)},
		{"LISTEN_PID=9 B=1", "/home/web", "LISTEN_PID", "B=1 LISTEN_PID=1 HOME=/home/web"},
	} {
		tr.spec.Process.Env, tr.home, tr.options.PidVariable = strings.Fields(tc.env), tc.home, tc.variable
		if out := tr.out(); strings.Join(strings.Fields(out), " ") != tc.want {
			t.Errorf("%q, home %q: output %q", tc.env, tc.home, out)
		}
	}
}

func TestPersonality(t *testing.T) {
	tr := newTrial(t, "cat /proc/self/personality; /bin/busybox uname -m")
	tr.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	contains(t, tr.out(), "00000008\n")
}

// TestKeyring looks for the session keyring among the keys of a process.
func TestKeyring(t *testing.T) {
	if _, err := os.Stat("/proc/keys"); err != nil {
		t.Skip("no /proc/keys")
	}
	tr := newTrial(t, "cat /proc/keys")
	tr.spec.Linux.MaskedPaths = nil
	tr.options.Keyring = "_ses.keyringtest"
	contains(t, tr.out(), "3f080000", "_ses.keyringtest")
	tr.options.NoNewKeyring, tr.options.Keyring = true, "_ses.keyringtest2"
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

// TestNoProcess: a container without a program can be created.
func TestNoProcess(t *testing.T) {
	tr := newTrial(t, "")
	tr.spec.Process = nil
	_, err := tr.run()
	if err == nil || err.Error() != "process.args: start: there is no program to execute" {
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
