package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// needSeccomp skips the test if the runtime was built without a compiler for profiles.
func needSeccomp(t *testing.T, b *harness.Box) {
	t.Helper()
	if harness.Name() == "orlop" && strings.Contains(b.OK("features"), `"seccomp": {
            "enabled": false`) {
		t.Skip("this build has no seccomp (SECCOMP=0)")
	}
}

// withCalls gives the container a profile that does something with some calls, and allows the others.
func withCalls(action specs.LinuxSeccompAction, names ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: names, Action: action}}}
	}
}

// TestSeccompActions: a forbidden call fails or kills, in the container's process and in what is executed in it, with and without
// no_new_privs, and whether or not the process keeps the capability that the load takes.
func TestSeccompActions(t *testing.T) {
	const script = "grep ^Seccomp: /proc/self/status; mkdir /dev/shm/x 2>&1; echo $?"
	for _, nnp := range []bool{true, false} {
		for _, caps := range [][]string{{"CAP_KILL"}, {"CAP_SYS_ADMIN"}} {
			b := harness.New(t, withCalls(specs.ActErrno, "mkdir", "mkdirat"), harness.Caps(caps...))
			needSeccomp(t, b)
			b.Spec.Process.NoNewPrivileges = nnp
			want := "Seccomp:\t2\nmkdir: can't create directory '/dev/shm/x': Operation not permitted\n1\n"
			b.Up()
			if got := b.OK("exec", b.ID, "sh", "-c", script); got != want {
				t.Errorf("no_new_privs %v, %q: exec: %q", nnp, caps, got)
			}
			effective := b.OK("exec", b.ID, "grep", "CapEff", "/proc/1/status")
			if admin := strings.Contains(effective, "200000\n"); admin != (caps[0] == "CAP_SYS_ADMIN") {
				t.Errorf("no_new_privs %v, %q: the container's process has %s", nnp, caps, effective)
			}
			b.OK("delete", "--force", b.ID)
			if got := b.Sh(script); got != want {
				t.Errorf("no_new_privs %v, %q: %q", nnp, caps, got)
			}
		}
	}
	b := harness.New(t, withCalls(specs.ActKillProcess, "mkdir", "mkdirat"))
	b.Run(harness.Args("mkdir", "/dev/shm/x")).Exits(b, 128+31) // SIGSYS
}

// TestSeccompErrno: the errno of a rule, and that of the default.
func TestSeccompErrno(t *testing.T) {
	b := harness.New(t, withCalls(specs.ActErrno, "mkdir", "mkdirat"))
	needSeccomp(t, b)
	code := uint(28) // ENOSPC
	b.Spec.Linux.Seccomp.Syscalls[0].ErrnoRet = &code
	if got := b.Sh("mkdir /dev/shm/x 2>&1 || true"); !strings.Contains(got, "No space left on device") {
		t.Errorf("got %q", got)
	}
}

// TestSeccompArguments: a call is judged by its arguments.
func TestSeccompArguments(t *testing.T) {
	b := harness.New(t, withCalls(specs.ActErrno, "kill"))
	needSeccomp(t, b)
	b.Spec.Linux.Seccomp.Syscalls[0].Args = []specs.LinuxSeccompArg{{Index: 1, Value: 10, Op: specs.OpEqualTo}}
	if got := b.Sh("trap '' USR1 USR2; kill -USR2 $$ && echo 12; kill -USR1 $$ 2>/dev/null || echo not 10"); got != "12\nnot 10\n" {
		t.Errorf("got %q", got)
	}
}

// TestSeccompFlags: the kernel takes each.
func TestSeccompFlags(t *testing.T) {
	for _, flag := range []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC"} {
		b := harness.New(t, withCalls(specs.ActErrno, "mkdir"))
		needSeccomp(t, b)
		b.Spec.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{flag}
		if got := b.Sh("grep ^Seccomp: /proc/self/status"); got != "Seccomp:\t2\n" {
			t.Errorf("%s: got %q", flag, got)
		}
	}
	b := harness.New(t, withCalls(specs.ActErrno, "mkdir"))
	b.Spec.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NO_SUCH"}
	b.Run().Fails(b, "SECCOMP_FILTER_FLAG_NO_SUCH")
}

// TestSeccompAgent: an agent decides calls of the container's process and of one that is executed in it; it is told what the
// specification says. Without an agent there is no container.
func TestSeccompAgent(t *testing.T) {
	b := harness.New(t, withCalls(specs.ActNotify, "mkdir", "mkdirat"))
	needSeccomp(t, b)
	agent := filepath.Join(b.Dir, "agent")
	socket := filepath.Join(b.Dir, "agent.sock")
	build := exec.Command("go", "build", "-o", agent, "../../contrib/seccomp-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := harness.Output(build); err != nil {
		t.Skipf("build the agent: %v: %s", err, out)
	}
	b.Spec.Linux.Seccomp.ListenerPath, b.Spec.Linux.Seccomp.ListenerMetadata = socket, "what the agent is to know"
	b.Run(harness.Args("true")).Fails(b, "linux.seccomp.listenerPath: ")
	b.CheckClean()

	lines := b.Lines()
	cmd := exec.Command(agent, "-errno", "28", socket)
	cmd.Stdout = lines.Writer
	must(t, harness.StartOther(cmd))
	lines.Writer.Close()
	t.Cleanup(func() {
		must(t, cmd.Process.Kill())
		_ = harness.WaitOther(cmd) // it was killed
	})
	if line := lines.Next(); line != "ready" {
		t.Fatalf("the agent says %q", line)
	}

	const script = "mkdir /dev/shm/x 2>&1 || true"
	b.Spec.Process.Args = []string{"sh", "-c", script + "; sleep 1000"}
	b.Write()
	b.OK("create", "--bundle", b.Bundle, b.ID)
	b.OK("start", b.ID)
	var told specs.ContainerProcessState
	must(t, json.Unmarshal([]byte(lines.Next()), &told))
	pid := b.State().Pid
	if told.Pid != pid || told.State.Pid != pid || told.State.ID != b.ID || told.Metadata != "what the agent is to know" ||
		len(told.Fds) != 1 || told.Fds[0] != "seccompFd" || told.State.Bundle != b.Bundle || told.Version == "" {
		t.Errorf("the agent was told %+v", told)
	}
	if line := lines.Next(); !strings.HasPrefix(line, "call ") {
		t.Errorf("the agent says %q", line)
	}
	if got := b.OK("exec", b.ID, "sh", "-c", script); !strings.Contains(got, "No space left on device") {
		t.Errorf("exec: got %q", got)
	}
	must(t, json.Unmarshal([]byte(lines.Next()), &told))
	if told.Pid == pid || told.State.Pid != pid {
		t.Errorf("exec: the agent was told %+v", told)
	}
}

// TestSeccompCache: a profile is compiled once, a damaged entry just costs time, and the option goes without.
func TestSeccompCache(t *testing.T) {
	harness.OrlopOnly(t, "others have no cache")
	b := harness.New(t, withCalls(specs.ActErrno, "mkdir", "mkdirat"))
	needSeccomp(t, b)
	asOrdinaryCache := filepath.Join(b.Dir, "cache")
	must(t, os.Mkdir(asOrdinaryCache, 0o755))
	asOrdinary(t, b)
	must(t, os.Chown(asOrdinaryCache, ordinary, ordinary))
	b.Env = []string{"XDG_CACHE_HOME=" + asOrdinaryCache}
	run := func(flags ...string) {
		t.Helper()
		b.Spec.Process.Args = []string{"grep", "^Seccomp:", "/proc/self/status"}
		b.Write()
		if got := b.OK(append(append([]string{"run", "--bundle", b.Bundle}, flags...), b.ID)...); got != "Seccomp:\t2\n" {
			t.Errorf("%q: got %q", flags, got)
		}
	}
	entries := func() []string {
		files, err := filepath.Glob(filepath.Join(asOrdinaryCache, "orlop/seccomp/*"))
		must(t, err)
		return files
	}
	run("--no-seccomp-cache")
	if got := entries(); len(got) != 0 {
		t.Errorf("--no-seccomp-cache: %q", got)
	}
	run()
	got := entries()
	if len(got) != 1 {
		t.Fatalf("entries %q", got)
	}
	whole := read(t, got[0])
	must(t, os.WriteFile(got[0], []byte(whole[:len(whole)/2]), 0o600))
	run()
	if read(t, got[0]) != whole {
		t.Error("a damaged entry stays")
	}
}
