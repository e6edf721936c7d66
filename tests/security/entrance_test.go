package security

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// entranceEnv makes this package's test binary a process of a container with CAP_SYS_PTRACE, which
// seizes processes that enter the PID namespace. Its value is a file of the host that the seized
// processes must not be able to reach.
const entranceEnv = "ORLOP_TEST_ENTRANCE"

// A seizure is the tracer's report about a seized process.
type seizure struct {
	program string
	caps    uint64 // effective and permitted
	bounds  uint64 // the bounding set
	seccomp int
	files   int  // descriptors besides the standard streams
	host    bool // its root, its working directory or a descriptor leads to the host's files
}

func (s seizure) String() string {
	return fmt.Sprintf("%d %x %x %d %t %s", s.files, s.caps, s.bounds, s.seccomp, s.host, s.program)
}

func parseSeizure(t *testing.T, line string) (s seizure) {
	t.Helper()
	if _, err := fmt.Sscanf(line, "%d %x %x %d %t", &s.files, &s.caps, &s.bounds, &s.seccomp, &s.host); err != nil {
		t.Fatalf("the tracer says %q: %v", line, err)
	}
	_, s.program, _ = strings.Cut(line, " /")
	return s
}

// guardEntrance seizes one process after the other as soon as it exists, and inspects it. PIDs are
// assigned in order.
func guardEntrance(marker string) {
	runtime.LockOSThread() // a tracer is a thread
	fmt.Println("ready")
	last := os.Getpid()
	for n := 0; ; n++ {
		if n%1000 == 0 {
			if _, err := os.Stat("/stop"); err == nil {
				return
			}
		}
		for pid := last + 1; pid < last+30; pid++ {
			if _, _, err := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); err != 0 {
				continue
			}
			last = pid
			if s, ok := look(pid, marker); ok {
				fmt.Println(s)
			}
		}
	}
}

// look stops a seized process, inspects it, and releases it.
func look(pid int, marker string) (s seizure, ok bool) {
	if unix.PtraceInterrupt(pid) != nil {
		return s, false
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		return s, false
	}
	proc := "/proc/" + strconv.Itoa(pid) + "/"
	s.program, _ = os.Readlink(proc + "exe")
	text, err := os.ReadFile(proc + "status")
	if err != nil {
		return s, false
	}
	field := func(name string, base int) uint64 {
		_, rest, _ := bytes.Cut(text, []byte("\n"+name+":\t"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		n, _ := strconv.ParseUint(string(line), base, 64)
		return n
	}
	s.caps, s.bounds, s.seccomp = field("CapEff", 16)|field("CapPrm", 16), field("CapBnd", 16), int(field("Seccomp", 10))
	dirs := []string{proc + "root", proc + "cwd"}
	files, _ := filepath.Glob(proc + "fd/*")
	for _, f := range files {
		if n, _ := strconv.Atoi(filepath.Base(f)); n > 2 {
			s.files++
		}
	}
	for _, dir := range append(dirs, files...) {
		if _, err := os.Stat(dir + marker); err == nil {
			s.host = true
		}
	}
	ok = unix.PtraceDetach(pid) == nil
	return s, ok
}

// withTracer is a container with CAP_SYS_PTRACE and some other capabilities, and a filter that
// allows everything but mkdir.
func withTracer(s *specs.Spec) {
	harness.Writable(s)
	harness.Caps("CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SYS_PTRACE")(s)
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}}
	s.Process.NoNewPrivileges = false
}

// beyond describes what a process that enters the container has in addition to the container's own,
// "" for nothing.
func (s seizure) beyond() string {
	const all = 1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL | 1<<unix.CAP_MKNOD | 1<<unix.CAP_SETUID | 1<<unix.CAP_SYS_PTRACE
	switch {
	case s.caps&^all != 0:
		return fmt.Sprintf("capabilities %x", s.caps&^all)
	case s.bounds&^all != 0:
		return fmt.Sprintf("bounds %x", s.bounds&^all)
	case s.seccomp != unix.SECCOMP_MODE_FILTER:
		return "no filter"
	case s.host:
		return "files of the host"
	// The channel, the descriptor at which a created container waits for start, and that start.
	case s.files > 3 && strings.HasPrefix(s.program, "memfd:"):
		return fmt.Sprintf("%d descriptors of the runtime's", s.files)
	}
	return ""
}

// enterNaively lets a process enter another one's PID namespace as other runtimes do, with all the
// caller's privileges. It stays until release is called.
func enterNaively(t *testing.T, pid int) (release func()) {
	t.Helper()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
	must(t, err)
	defer ns.Close()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	child := make(chan int)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread's children are in the namespace
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
			t.Error(err)
			child <- 0
			return
		}
		n, err := syscall.ForkExec("/bin/cat", []string{"cat"}, &syscall.ProcAttr{Files: []uintptr{r.Fd(), 1, 2}})
		if err != nil {
			t.Error(err)
		}
		child <- n
	}()
	n := <-child
	return func() {
		w.Close()
		if n > 0 {
			// The harness reaps, too.
			if _, err := unix.Wait4(n, nil, 0, nil); err != nil && err != unix.ECHILD {
				t.Error(err)
			}
		}
	}
}

// TestTracerOfExec: a process of the container with CAP_SYS_PTRACE seizes processes that enter its
// PID namespace. It gets a process that has what the container's process has: its capabilities, its
// filter, its files.
func TestTracerOfExec(t *testing.T) {
	for _, user := range []bool{false, true} {
		t.Run(map[bool]string{false: "host", true: "user namespace"}[user], func(t *testing.T) {
			b := harness.New(t, withTracer)
			if user {
				shift(t, b)
			}
			tracedBy(t, b, b, func(n int) {
				args := []string{"exec", b.ID, "usleep", "5000"}
				switch n % 4 {
				case 1:
					args = []string{"exec", "--user", "1000:1000", b.ID, "true"}
				case 2:
					args = []string{"exec", "--tty", b.ID, "true"}
				case 3:
					args = []string{"exec", b.ID, "nothing"}
				}
				b.Do(args...)
			})
		})
	}
}

// shift gives a container a user namespace.
func shift(t *testing.T, b *harness.Box) {
	t.Helper()
	harness.WithNamespace("user", "")(b.Spec)
	b.Spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	b.Spec.Linux.GIDMappings = b.Spec.Linux.UIDMappings
	must(t, filepath.Walk(b.Rootfs, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 100000, 100000)
	}))
}

// tracedBy makes attempts while the first process of a traces processes that enter its PID
// namespace.
func tracedBy(t *testing.T, a, b *harness.Box, try func(n int)) {
	t.Helper()
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && string(scope) != "0\n" && string(scope) != "1\n" {
		t.Skip("nobody may trace here (kernel.yama.ptrace_scope)")
	}
	out, check := outside(t, b)
	harness.CopySelf(t, filepath.Join(a.Rootfs, "tracer"))
	a.Spec.Process.Args = []string{"/tracer"}
	a.Spec.Process.Env = append(a.Spec.Process.Env, entranceEnv+"="+filepath.Join(out, "file"), "GOMAXPROCS=2")
	a.Write()
	lines := a.Create()
	a.OK("start", a.ID)
	if line := lines.Next(); line != "ready" {
		t.Fatalf("got %q", line)
	}
	// Positive control: a process that enters as other runtimes do is seized with everything it
	// has. In a user namespace the kernel denies the tracer access to processes executed outside of
	// it, so only those that have executed their program can be seized there.
	user := slices.ContainsFunc(a.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	if !user {
		release := enterNaively(t, a.State().Pid)
		control := parseSeizure(t, lines.Next())
		release()
		if control.beyond() == "" || control.caps == 0 {
			t.Fatalf("a process that enters naively has no more than the container: %v", control)
		}
	}
	attempts(t, 40, try)
	must(t, os.WriteFile(filepath.Join(a.Rootfs, "stop"), nil, 0o644))
	early, late := 0, 0
	for line, ok := lines.More(); ok; line, ok = lines.More() {
		s := parseSeizure(t, line)
		if what := s.beyond(); what != "" {
			t.Errorf("seized with %s: %v", what, s)
		}
		if strings.HasPrefix(s.program, "memfd:") {
			early++
		} else {
			late++
		}
	}
	t.Logf("%d were seized before their exec, and %d after it", early, late)
	if user && late == 0 {
		t.Error("nothing was seized: it does not show anything")
	}
	check()
}

// TestTracerOfCreate: the same for a container that is created in the PID namespace of another one,
// and its startContainer hooks.
func TestTracerOfCreate(t *testing.T) {
	a, b := harness.New(t, withTracer), harness.New(t, withTracer)
	if !procOfOthers(t) {
		t.Skip("the kernel makes no procfs of other PID namespaces (pidns=, since Linux 6.17)")
	}
	b.Spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/true"}}}
	b.Spec.Process.Args = []string{"usleep", "1000"}
	tracedBy(t, a, b, func(n int) {
		if n == 0 {
			harness.WithNamespace(specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", a.State().Pid))(b.Spec)
			b.Write()
		}
		if n%2 == 0 {
			b.Do("run", "--bundle", b.Bundle, b.ID)
		} else {
			b.Do("create", "--bundle", b.Bundle, b.ID)
			b.Do("start", b.ID)
		}
		b.Do("delete", "--force", b.ID)
	})
}

// procOfOthers reports whether the kernel mounts a procfs of a PID namespace that the caller is not
// in.
func procOfOthers(t *testing.T) bool {
	t.Helper()
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	must(t, err)
	defer unix.Close(fs)
	return unix.FsconfigSetString(fs, "pidns", "/proc/self/ns/pid") == nil
}

// TestTracerOfFull: when the cgroup of a container that may trace is full, no process outside of
// that cgroup enters the container.
func TestTracerOfFull(t *testing.T) {
	one := int64(1)
	b := harness.New(t, withTracer, harness.Args("sleep", "1000"), func(s *specs.Spec) {
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &one}
	})
	b.Write()
	b.OK("run", "--detach", "--bundle", b.Bundle, b.ID)
	attempts(t, 2, func(int) {
		b.Fails("the container has as many processes as linux.resources.pids.limit allows", "exec", b.ID, "true")
	})
}
