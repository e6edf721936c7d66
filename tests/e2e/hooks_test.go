package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// hookList selects one kind of hooks.
func hookList(h *specs.Hooks, kind string) *[]specs.Hook {
	switch kind {
	case "prestart":
		return &h.Prestart //nolint:staticcheck // engines still use it
	case "createRuntime":
		return &h.CreateRuntime
	case "createContainer":
		return &h.CreateContainer
	case "startContainer":
		return &h.StartContainer
	case "poststart":
		return &h.Poststart
	default:
		return &h.Poststop
	}
}

func hookKinds() []string {
	return []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
}

// addHook adds a hook with a shell script. The host's busybox runs it: /bin/busybox is the same
// path inside.
func addHook(b *harness.Box, kind, script string) {
	if b.Spec.Hooks == nil {
		b.Spec.Hooks = &specs.Hooks{}
	}
	list := hookList(b.Spec.Hooks, kind)
	*list = append(*list, specs.Hook{Path: "/bin/busybox", Args: []string{"busybox", "sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}})
	b.Write()
}

// needBusybox skips the test if the host's busybox has another path (hook paths are absolute).
func needBusybox(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("needs /bin/busybox on the host")
	}
}

// logged mounts a directory of the host at the same path inside, and returns the log's path in it:
// every hook can append to it, in any namespace.
func logged(b *harness.Box) string {
	dir := filepath.Join(b.Dir, "log")
	if err := os.Mkdir(dir, 0o777); err != nil {
		b.T.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(b.Rootfs, dir), 0o755); err != nil {
		b.T.Fatal(err)
	}
	harness.WithMount(dir, "bind", dir, "rbind", "rw")(b.Spec)
	return filepath.Join(dir, "log")
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHookOrder(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "runc 1.1 runs poststart hooks in create, before the process is started")
	b := harness.New(t)
	log := logged(b)
	for _, kind := range hookKinds() {
		for i := range 2 {
			addHook(b, kind, fmt.Sprintf("cat > /dev/null; echo %s %d >> %s", kind, i, log))
		}
	}
	b.Spec.Process.Args = []string{"sh", "-c", "echo process; exec sleep 1000"}
	b.Write()
	check := func(when string, kinds ...string) {
		t.Helper()
		want := ""
		for _, kind := range kinds {
			want += kind + " 0\n" + kind + " 1\n"
		}
		if got := read(t, log); got != want {
			t.Errorf("after %s: got %q, want %q", when, got, want)
		}
	}
	kinds := hookKinds()
	lines := b.Create()
	check("create", kinds[:3]...)
	b.OK("start", b.ID)
	check("start", kinds[:5]...) // poststart runs before start returns
	lines.Next()
	pid := b.State().Pid
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	check("kill", kinds[:5]...)
	b.OK("delete", b.ID)
	check("delete", kinds...)
}

// TestHookNamespaces: which hooks run in the runtime's namespaces and which in the container's.
func TestHookNamespaces(t *testing.T) {
	needBusybox(t)
	host := link(t, "/proc/self/ns/mnt")
	inside := map[string]bool{"createContainer": true, "startContainer": true}
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t)
			log := logged(b)
			addHook(b, kind, "cat > /dev/null; readlink /proc/self/ns/mnt > "+log+"; readlink /proc/self/ns/uts >> "+log)
			b.OK("run", "--bundle", b.Bundle, b.ID)
			got := strings.Fields(read(t, log))
			if len(got) != 2 {
				t.Fatalf("got %q", got)
			}
			if in := got[0] != host; in != inside[kind] {
				t.Errorf("in the container's mount namespace: %v, want %v", in, inside[kind])
			}
		})
	}
}

// TestStartContainerHookConfined: the program of a startContainer hook comes from the image, and
// has the same restrictions as the container's process.
func TestStartContainerHookConfined(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "the hooks of others are in other sessions and process groups")
	const script = `PATH=/bin; cat > /dev/null; umask; pwd; id; mkdir /tmp/made 2>&1 || echo no mkdir
grep -E '^(Uid|Gid|Groups|Sig...|Cap...|NoNewPrivs|Seccomp|Cpus_allowed|Mems_allowed):' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/personality /proc/self/cgroup; cut -d' ' -f18,19,40,41 /proc/self/stat
sed 's/.*: //' /proc/self/attr/current 2>/dev/null; for n in /proc/self/ns/*; do readlink $n; done; ls /proc/self/fd | wc -l
env | grep -v -e ^SHLVL -e ^_ | sort; [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] || echo no group; [ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] || echo no session`
	score, umask, pids := 321, uint32(0o027), int64(50)
	confined := func(s *specs.Spec) {
		harness.Caps("CAP_KILL")(s)
		withCalls(specs.ActErrno, "mkdir", "mkdirat")(s)
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{2000}, Umask: &umask}
		s.Process.Cwd, s.Process.OOMScoreAdj = "/home", &score
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}, {Type: "RLIMIT_CORE"}}
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 3}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		s.Process.Env = []string{"ONE=two", "HOME="}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	}
	privileged := func(s *specs.Spec) {
		withCalls(specs.ActErrno, "mkdir", "mkdirat")(s)
		s.Process.NoNewPrivileges = false
	}
	for _, tc := range []struct {
		name   string
		change func(*testing.T, *harness.Box)
	}{
		{"confined", func(_ *testing.T, b *harness.Box) { confined(b.Spec) }},
		{"without no_new_privs", func(_ *testing.T, b *harness.Box) { privileged(b.Spec) }},
		{"in a user namespace", func(t *testing.T, b *harness.Box) {
			confined(b.Spec)
			withUser(shifted())(b.Spec)
			own(t, b, 100000)
		}},
		{"of an ordinary user", func(t *testing.T, b *harness.Box) {
			withCalls(specs.ActErrno, "mkdir", "mkdirat")(b.Spec)
			asOrdinary(t, b)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Writable)
			needSeccomp(t, b)
			tc.change(t, b)
			log := logged(b)
			must(t, os.Chmod(filepath.Dir(log), 0o777))
			addHook(b, "startContainer", "("+script+") > "+log)
			b.Spec.Hooks.StartContainer[0].Env = nil
			b.Spec.Process.Args = []string{"/bin/busybox", "sh", "-c", "(" + script + ") < /dev/null"}
			b.Write()
			for _, steps := range [][]string{{"run"}, {"create", "start"}} {
				var out string
				if steps[0] == "run" {
					out = b.OK("run", "--bundle", b.Bundle, b.ID)
				} else {
					lines := b.Create()
					b.OK("start", b.ID)
					for line, ok := lines.More(); ok; line, ok = lines.More() {
						out += line + "\n"
					}
				}
				hook := read(t, log)
				must(t, os.Remove(log))
				if out != hook || !strings.Contains(out, "no mkdir") || strings.Contains(out, "no group") {
					t.Errorf("%v: the process prints\n%s\nthe hook\n%s", steps, out, hook)
				}
			}
		})
	}
}

// TestStartContainerHookDevices: the rules for devices apply to it, too.
func TestStartContainerHookDevices(t *testing.T) {
	needBusybox(t)
	b := harness.New(t, harness.Caps("CAP_MKNOD", "CAP_SYS_ADMIN"), harness.Writable)
	log := logged(b)
	b.Spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	addHook(b, "startContainer", "cat > /dev/null; mknod /dev/mem c 1 1; (: < /dev/mem) 2> "+log+"; true")
	b.OK("run", "--bundle", b.Bundle, b.ID)
	if got := read(t, log); !strings.Contains(got, "not permitted") {
		t.Errorf("got %q", got)
	}
}

// TestHookWithoutEnvironment: a startContainer hook has the process's environment, including HOME,
// all others have the runtime's.
func TestHookWithoutEnvironment(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "createContainer hooks of runc have the process's")
	t.Setenv("OF_CALLER", "yes")
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			want := "OF_CALLER=yes\n"
			if kind == "startContainer" {
				want = "HOME=/root\nOF_PROCESS=yes\n"
			}
			for _, env := range [][]string{nil, {}} {
				b := harness.New(t)
				b.Spec.Process.Env = []string{"OF_PROCESS=yes"}
				log := logged(b)
				addHook(b, kind, "PATH=/bin:/usr/bin; cat > /dev/null; env | grep -e ^OF_ -e ^HOME=/root | sort > "+log)
				(*hookList(b.Spec.Hooks, kind))[0].Env = env
				b.Spec.Process.Args = []string{"/bin/true"}
				b.Write()
				b.OK("run", "--bundle", b.Bundle, b.ID)
				if got := read(t, log); strings.Replace(got, "HOME=/root\n", "", 1) != strings.Replace(want, "HOME=/root\n", "", 1) ||
					kind == "startContainer" && got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// libcSignals returns those of the C library's own signals, 32 and 33, that this process ignores: a
// program that was started by posix_spawn(3) may do so.
func libcSignals(t *testing.T) (set uint64) {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc/self/status")) {
		if value, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			all, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			must(t, err)
			set = all & (3 << 31)
		}
	}
	return set
}

// TestHookBegins: hooks of the host start in the bundle's directory, with the caller's umask, with
// no signals ignored but the C library's, and as leaders of a process group; hooks of the image
// start like the process.
func TestHookBegins(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "runc's createContainer hooks begin in the root filesystem")
	const script = "cat > /dev/null; (pwd; umask; grep -E '^Sig(Ign|Blk)' /proc/self/status | cut -f2; ls /proc/self/fd | wc -l) > "
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t)
			log := logged(b)
			addHook(b, kind, script+log)
			b.Wrap = []string{"sh", "-c", `umask 077; trap '' HUP INT; exec "$@"`, "sh"}
			want := b.Bundle + "\n0077\n"
			ignored := libcSignals(t)
			switch kind {
			case "createContainer":
				ignored = 0
			case "startContainer":
				want, ignored = "/\n0022\n", 0
			}
			want += fmt.Sprintf("%016x\n%016x\n4\n", 0, ignored)
			b.OK("run", "--bundle", b.Bundle, b.ID)
			if got := read(t, log); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestHookEndsWithRuntime: a killed runtime leaves no hook running, even if no PID namespace ends
// it.
func TestHookEndsWithRuntime(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others leave them")
	for _, kind := range hookKinds()[:5] {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("tail", "-f", "/etc/passwd"), harness.WithoutNamespace(specs.PIDNamespace))
			b.Spec.Mounts = slices.DeleteFunc(b.Spec.Mounts, func(m specs.Mount) bool { return m.Type == "proc" })
			b.Spec.Linux.MaskedPaths, b.Spec.Linux.ReadonlyPaths = nil, nil
			lines := b.Lines()
			must(t, passFile(b, lines))
			harness.WithMount("/said", "bind", filepath.Join(b.Dir, "said"), "bind")(b.Spec)
			must(t, os.WriteFile(filepath.Join(b.Rootfs, "said"), nil, 0o666))
			said := filepath.Join(b.Dir, "said")
			if kind == "startContainer" {
				said = "/said"
			}
			addHook(b, kind, "cat > /dev/null; echo up > "+said+"; exec sleep 1000")
			p := b.Cmd("run", "--bundle", b.Bundle, b.ID).Start()
			lines.Next()
			hook := childOf(t, p.Pid, "sleep")
			p.Signal(unix.SIGKILL)
			p.Wait()
			b.WaitGone(hook)
			b.Do("delete", "--force", b.ID).OK(b)
			b.CheckClean()
		})
	}
}

func TestHookState(t *testing.T) {
	needBusybox(t)
	status := map[string]specs.ContainerState{
		"prestart": "created", "createRuntime": "creating", "createContainer": "creating",
		"startContainer": "created", "poststart": "running", "poststop": "stopped",
	}
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			b.Spec.Annotations = map[string]string{"deck": "orlop"}
			log := logged(b)
			addHook(b, kind, "cat > "+log)
			b.OK("create", "--bundle", b.Bundle, b.ID)
			b.OK("start", b.ID)
			b.OK("delete", "--force", b.ID)
			var s specs.State
			if err := json.Unmarshal([]byte(read(t, log)), &s); err != nil {
				t.Fatal(err)
			}
			if s.ID != b.ID || s.Bundle != b.Bundle || s.Version == "" || s.Annotations["deck"] != "orlop" {
				t.Errorf("state: %+v", s)
			}
			if s.Status != status[kind] {
				if harness.Name() != "orlop" {
					t.Skipf("orlop only: status %q, the specification says %q", s.Status, status[kind])
				}
				t.Errorf("status %q, want %q", s.Status, status[kind])
			}
			if (s.Pid > 0) != (kind != "poststop") {
				t.Errorf("pid %d", s.Pid)
			}
		})
	}
}

// TestHookEnvironment: env and args are passed exactly as given.
func TestHookEnvironment(t *testing.T) {
	needBusybox(t)
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t)
			log := logged(b)
			addHook(b, kind, "cat > /dev/null; (echo $0 $1; env | grep ^ONE) > "+log)
			list := *hookList(b.Spec.Hooks, kind)
			list[0].Args = append(list[0].Args, "zero", "first")
			list[0].Env = []string{"PATH=/bin:/usr/bin", "ONE=1 of 1"}
			b.Write()
			b.OK("run", "--bundle", b.Bundle, b.ID)
			if got := read(t, log); got != "zero first\nONE=1 of 1\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestHookFails: a failing hook stops and cleans up; a failing poststart or poststop hook causes a
// warning.
func TestHookFails(t *testing.T) {
	needBusybox(t)
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t)
			addHook(b, kind, "cat > /dev/null; echo the rope broke >&2; exit 3")
			r := b.Do("run", "--bundle", b.Bundle, b.ID)
			switch kind {
			case "poststop":
				r.OK(b)
			case "poststart":
				// runc kills the container and fails; the specification continues with a warning.
				if harness.Name() != "orlop" {
					t.Skip("orlop only: poststart failures are treated differently")
				}
				if r.Status == 0 && !strings.Contains(r.Stderr, "poststart") {
					t.Errorf("neither a failure nor a warning: %q", r.Stderr)
				}
			default:
				r.Fails(b, "")
				if harness.Name() == "orlop" {
					r.Fails(b, "hooks."+kind+"[0]")
					r.Fails(b, "the rope broke")
				}
			}
			b.CheckClean()
		})
	}
}

// TestHookFailsInSteps: the same with create and start. poststop hooks run after each failure once
// the environment was created.
func TestHookFailsInSteps(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "runc's poststart hooks run in create")
	for _, kind := range hookKinds() {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sleep", "1000"))
			log := filepath.Join(b.Dir, "stopped")
			addHook(b, kind, "cat > /dev/null; exit 3")
			addHook(b, "poststop", "cat > /dev/null; echo ran >> "+log)
			step := func(args ...string) harness.Result { return b.Do(append(args, b.ID)...) }
			create := func() harness.Result { return b.Do("create", "--bundle", b.Bundle, b.ID) }
			switch kind {
			case "prestart", "createRuntime", "createContainer":
				create().Fails(b, "hooks."+kind+"[0]")
			case "startContainer", "poststart":
				create().OK(b)
				step("start").Fails(b, "hooks."+kind+"[0]")
			default:
				create().OK(b)
				r := step("delete", "--force")
				r.OK(b)
				if !strings.Contains(r.Stderr, "warning: hooks.poststop[0]") {
					t.Errorf("standard error: %q", r.Stderr)
				}
			}
			if got := read(t, log); got != "ran\n" {
				t.Errorf("poststop hooks: %q", got)
			}
			b.Fails("does not exist", "state", b.ID)
			b.CheckClean()
		})
	}
}

// TestHookBeforePivot: createContainer hooks see the mounts of the container and, under its own
// path, the host's root; their mounts in the container's root exist afterwards, and not on the
// host.
func TestHookBeforePivot(t *testing.T) {
	needBusybox(t)
	b := harness.New(t, harness.Sh("cat /mnt/of-hook; echo"))
	mounts := read(t, "/proc/self/mountinfo")
	addHook(b, "createContainer", fmt.Sprintf(
		"cat > /dev/null; [ -e %[1]s/config.json ] && [ -e %[2]s/proc/self ] && mount -t tmpfs tmpfs %[2]s/mnt && echo -n mounted > %[2]s/mnt/of-hook",
		b.Bundle, b.Rootfs))
	b.Write()
	if got := b.OK("run", "--bundle", b.Bundle, b.ID); got != "mounted\n" {
		t.Errorf("got %q", got)
	}
	if after := read(t, "/proc/self/mountinfo"); after != mounts {
		t.Errorf("mounts are\n%s\nwere\n%s", after, mounts)
	}
	if entries, err := os.ReadDir(filepath.Join(b.Rootfs, "mnt")); err != nil || len(entries) > 0 {
		t.Errorf("in the bundle: %v, %v", entries, err)
	}
}

// TestHookFailsLater: the hooks after a failing one don't run.
func TestHookFailsLater(t *testing.T) {
	needBusybox(t)
	b := harness.New(t)
	log := filepath.Join(b.Dir, "log")
	addHook(b, "createRuntime", "cat > /dev/null; echo 0 >> "+log)
	addHook(b, "createRuntime", "cat > /dev/null; echo 1 >> "+log+"; exit 1")
	addHook(b, "createRuntime", "cat > /dev/null; echo 2 >> "+log)
	b.Fails("", "create", "--bundle", b.Bundle, b.ID)
	if got := read(t, log); got != "0\n1\n" {
		t.Errorf("got %q", got)
	}
	b.CheckClean()
}

func TestHookTimeout(t *testing.T) {
	needBusybox(t)
	b := harness.New(t)
	// Its child holds the hook's descriptors, so it must be killed, too.
	addHook(b, "createRuntime", "sleep 1000 & sleep 1000")
	second := 1
	b.Spec.Hooks.CreateRuntime[0].Timeout = &second
	b.Write()
	if harness.Name() != "orlop" {
		t.Skip("orlop only: other runtimes leave the hook's children running")
	}
	b.Fails("hooks.createRuntime[0]", "create", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
}

func TestHookMissing(t *testing.T) {
	needBusybox(t)
	b := harness.New(t)
	addHook(b, "createRuntime", "")
	b.Spec.Hooks.CreateRuntime[0].Path = "/no/such/hook"
	b.Write()
	b.Fails("no such file or directory", "create", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
}

// TestHookIgnoresStdin: a hook that doesn't read its standard input is no error, however large the
// state.
func TestHookIgnoresStdin(t *testing.T) {
	needBusybox(t)
	b := harness.New(t)
	b.Spec.Annotations = map[string]string{"large": strings.Repeat("x", 200_000)}
	addHook(b, "createRuntime", "exit 0")
	if r := b.Do("run", "--bundle", b.Bundle, b.ID); r.Status != 0 {
		if harness.Name() != "orlop" {
			t.Skipf("orlop only: %s", r.Stderr)
		}
		r.OK(b)
	}
}

// link reads a symbolic link.
func link(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}
