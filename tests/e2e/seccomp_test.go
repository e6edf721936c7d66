package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

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

// withCalls gives the container a profile with an action for some calls, which allows the others.
func withCalls(action specs.LinuxSeccompAction, names ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: names, Action: action}}}
	}
}

// TestSeccompActions: a forbidden call fails or kills, in the container's process and in executed
// processes, with and without no_new_privs, and whether or not the process keeps the capability
// that loading needs.
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

// withOnly gives the container a profile that allows these calls and has an action for all others.
func withOnly(action specs.LinuxSeccompAction, names ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: action,
			Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActAllow}}}
	}
}

// TestSeccompRefusesExec: a filter under which the process could not execute its program is an
// error that names the call, before there is a container.
func TestSeccompRefusesExec(t *testing.T) {
	harness.OrlopOnly(t, "runc says nothing")
	listener := func(s *specs.Spec) {
		s.Linux.Seccomp.ListenerPath = "/no/such/socket"
		s.Linux.Seccomp.Syscalls = append(s.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"mkdirat"}, Action: specs.ActNotify})
	}
	cases := []struct {
		name    string
		profile func(*specs.Spec)
		change  func(*specs.Spec)
		fault   string
	}{
		{"errno", withCalls(specs.ActErrno, "execve"), nop, "must allow execve, which the process needs to execute its program: the filter answers it with EPERM"},
		{"errno for all", withOnly(specs.ActErrno, "exit_group"), nop, "must allow execve"},
		{"kill", withCalls(specs.ActKillProcess, "execve"), nop, "the filter kills the process for it"},
		{"kill the thread, for all", withOnly(specs.ActKill, "write", "capset"), nop, "must allow execve"},
		{"trap", withCalls(specs.ActTrap, "execve"), nop, "the filter answers it with SIGSYS"},
		{"trace", withCalls(specs.ActTrace, "execve"), nop, "a tracer, which the process does not have"},
		{"capset", withCalls(specs.ActErrno, "capset"), func(s *specs.Spec) { s.Process.NoNewPrivileges = false },
			"must allow capset, which the process needs to drop capabilities without process.noNewPrivileges"},
		{"sendmsg with an agent", withCalls(specs.ActErrno, "sendmsg"), listener, "must allow sendmsg, which the process needs to hand the listener"},
		{"read by the agent", withCalls(specs.ActNotify, "read"), listener, "must allow read, which the process needs to hand the listener of " +
			"SCMP_ACT_NOTIFY over: the filter leaves it to the agent, which does not have the listener yet"},
	}
	for _, tc := range cases {
		for _, way := range []string{"create", "run", "run --detach", "plan"} {
			t.Run(tc.name+", "+way, func(t *testing.T) {
				b := harness.New(t, tc.profile, tc.change)
				needSeccomp(t, b)
				args := append(strings.Fields(way), "--bundle", b.Bundle)
				if way != "plan" {
					args = append(args, b.ID)
				}
				b.Fails("linux.seccomp: must allow ", args...).Fails(b, tc.fault)
				b.CheckClean()
			})
		}
	}
	// exec needs more than the container's own process does.
	t.Run("exec", func(t *testing.T) {
		b := harness.New(t, withCalls(specs.ActErrno, "capset"))
		needSeccomp(t, b)
		b.Up()
		b.OK("exec", b.ID, "true")
		b.Spec.Process.NoNewPrivileges, b.Spec.Process.Args = false, []string{"true"}
		data, err := json.Marshal(b.Spec.Process)
		must(t, err)
		must(t, os.WriteFile(b.Dir+"/process.json", data, 0o644))
		b.Fails("linux.seccomp: must allow capset", "exec", "--process", b.Dir+"/process.json", b.ID).Exits(b, 255)
	})
	t.Run("without an effect", func(t *testing.T) {
		b := harness.New(t, withCalls(specs.ActErrno, "capset", "sendmsg"), harness.Args("true"))
		needSeccomp(t, b)
		b.OK("run", "--bundle", b.Bundle, b.ID)
		withCalls(specs.ActErrno, "execve")(b.Spec)
		b.Write()
		b.OK("run", "--no-seccomp", "--bundle", b.Bundle, b.ID)
	})
}

// linuxFrom reports whether the kernel is of this version or later.
func linuxFrom(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	must(t, unix.Uname(&u))
	var a, b int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	must(t, err)
	return a > major || a == major && b >= minor
}

// TestSeccompMute: an exec that fails under a filter that prevents the process from reporting it,
// or that kills it by an argument, is no success.
func TestSeccompMute(t *testing.T) {
	harness.OrlopOnly(t, "runc says nothing")
	noEnvironment := []specs.LinuxSeccompArg{{Index: 2, Value: 0, Op: specs.OpEqualTo}}
	cases := map[string]func(*specs.Spec){
		"errno":                    withOnly(specs.ActErrno, "execve", "exit_group"),
		"errno, not even the exit": withOnly(specs.ActErrno, "execve"),
		"kill":                     withOnly(specs.ActKillProcess, "execve"),
		"kill by an argument": func(s *specs.Spec) {
			withOnly(specs.ActKillProcess, "execve")(s)
			s.Linux.Seccomp.Syscalls[0].Args = noEnvironment
		},
	}
	for name, profile := range cases {
		for _, way := range ways() {
			t.Run(name+", "+way, func(t *testing.T) {
				b := harness.New(t, profile)
				needSeccomp(t, b)
				must(t, os.WriteFile(b.Rootfs+"/bin/broken", []byte("#!/no/such/interpreter\n"), 0o755))
				b.Spec.Process.Args = []string{"/bin/broken"}
				sure := !strings.Contains(name, "kill") && linuxFrom(t, 6, 15)
				const fault = "linux.seccomp: the process ended before it executed its program"
				switch way {
				case "create":
					b.Write()
					b.OK("create", "--bundle", b.Bundle, b.ID)
					// The test reaps the process. If it comes first, start may not know how the
					// process has ended, or whether the filter has killed the program.
					if r := b.Do("start", b.ID); sure || r.Status != 0 {
						r.Fails(b, fault)
					}
					b.Status(specs.StateStopped)
				case "exec", "exec --detach":
					b.Write()
					b.OK("create", "--bundle", b.Bundle, b.ID)
					b.Fails(fault, append(strings.Fields(way), b.ID, "/bin/broken")...).Exits(b, 255)
				default:
					b.Write()
					b.Fails(fault, append(strings.Fields(way), "--bundle", b.Bundle, b.ID)...)
					b.CheckClean()
				}
			})
		}
	}
	t.Run("a program that ends at once", func(t *testing.T) {
		b := harness.New(t, withCalls(specs.ActErrno, "write"), harness.Args("false"))
		needSeccomp(t, b)
		b.Do("run", "--bundle", b.Bundle, b.ID).Exits(b, 1)
		b.OK("create", "--bundle", b.Bundle, b.ID)
		b.OK("start", b.ID)
	})
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

// TestSeccompArguments: the result depends on a call's arguments.
func TestSeccompArguments(t *testing.T) {
	b := harness.New(t, withCalls(specs.ActErrno, "kill"))
	needSeccomp(t, b)
	b.Spec.Linux.Seccomp.Syscalls[0].Args = []specs.LinuxSeccompArg{{Index: 1, Value: 10, Op: specs.OpEqualTo}}
	if got := b.Sh("trap '' USR1 USR2; kill -USR2 $$ && echo 12; kill -USR1 $$ 2>/dev/null || echo not 10"); got != "12\nnot 10\n" {
		t.Errorf("got %q", got)
	}
}

// TestSeccompFlags: the kernel accepts each.
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

// TestSeccompAgent: a seccomp agent decides about calls of the container's process, of an executed
// one, and of a startContainer hook; it gets the data that the specification defines. Without an
// agent there is no container.
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
	log := logged(b)
	addHook(b, "startContainer", "cat > /dev/null; (mkdir /dev/shm/x || true) 2> "+log)
	b.OK("create", "--bundle", b.Bundle, b.ID)
	b.OK("start", b.ID)
	var told specs.ContainerProcessState
	must(t, json.Unmarshal([]byte(lines.Next()), &told))
	if told.State.Status != specs.StateCreated || told.Pid == told.State.Pid || !strings.HasPrefix(lines.Next(), "call ") ||
		!strings.Contains(read(t, log), "No space left on device") {
		t.Errorf("startContainer hook: the agent was told %+v", told)
	}
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
	b.OK("delete", "--force", b.ID)

	b.Spec.Linux.Seccomp.ListenerPath = "" // crun's way to set it
	annotated("run.oci.seccomp.receiver", socket)(b.Spec)
	if got := b.Run(harness.Sh(script)).OK(b); !strings.Contains(got, "No space left on device") {
		t.Errorf("by annotation: got %q", got)
	}
	b.Spec.Annotations, b.Spec.Linux.Seccomp.ListenerMetadata = nil, ""
	b.Write()
	b.Env = []string{"RUN_OCI_SECCOMP_RECEIVER=" + socket}
	if got := b.Run(harness.Sh(script)).OK(b); !strings.Contains(got, "No space left on device") {
		t.Errorf("by crun's variable: got %q", got)
	}
	b.OK("check", "--bundle", b.Bundle)
	b.Env = []string{"RUN_OCI_SECCOMP_RECEIVER=relative"}
	b.Fails("RUN_OCI_SECCOMP_RECEIVER=relative: must be absolute", "run", "--bundle", b.Bundle, b.ID)
}

// TestSeccompCache: a profile is compiled once, a damaged entry only costs time, and the option
// disables the cache.
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
