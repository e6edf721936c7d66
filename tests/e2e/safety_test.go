package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	must(t, unix.Mkfifo(path, 0o644))
}

// TestExeOfCreated: the executable of a created container's process is not a file of the host
// (CVE-2019-5736).
func TestExeOfCreated(t *testing.T) {
	harness.OrlopOnly(t, "others wait in their own binary")
	b := harness.New(t)
	b.Create()
	exe := link(t, "/proc/"+strconv.Itoa(b.State().Pid)+"/exe")
	if !strings.HasPrefix(exe, "/memfd:orlop") {
		t.Errorf("/proc/PID/exe is %q, want a memfd", exe)
	}
}

// TestNoReexec: no process executes the runtime's own binary, except for the caller.
func TestNoReexec(t *testing.T) {
	harness.OrlopOnly(t, "runc executes itself to enter the container")
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	b := harness.New(t)
	trace := filepath.Join(b.Dir, "trace")
	c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
	c.Wrap = []string{strace, "-f", "-qq", "-o", trace, "-e", "trace=execve,execveat"}
	r := c.Run()
	if r.Status != 0 && strings.Contains(r.Stderr, "ptrace") {
		t.Skipf("strace can't trace here: %s", r.Stderr)
	}
	r.OK(b)
	own, program := 0, 0
	for line := range strings.Lines(read(t, trace)) {
		if strings.Contains(line, harness.Runtime()) || strings.Contains(line, "/proc/self/exe") {
			own++
		}
		if strings.Contains(line, `"/bin/true"`) {
			program++
		}
	}
	if own != 1 || program == 0 {
		t.Errorf("the runtime's binary is executed %d times, want 1:\n%s", own, read(t, trace))
	}
}

// TestSmallMemory: /bin/true runs under 256 KiB. It does so on one processor: the kernel charges 64
// pages in advance, which is exactly that limit, and a process that continues on another processor
// is killed unless the first one has time to return the rest. On a busy machine with two this
// happened in every eighth run.
func TestSmallMemory(t *testing.T) {
	harness.OrlopOnly(t, "runc needs some MiB")
	limit := int64(262144)
	b := harness.New(t)
	first := strconv.Itoa(firstCPU(t))
	b.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	// The caller's affinity does not apply to containers.
	b.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: first}
	b.Write()
	b.Wrap = []string{"taskset", "--cpu-list", first}
	for range 5 {
		b.OK("run", "--bundle", b.Bundle, b.ID)
	}
}

// TestLimits: the cgroup's limits, as the kernel shows them.
func TestLimits(t *testing.T) {
	memory, pids, quota, period, shares := int64(64<<20), int64(50), int64(20000), uint64(100000), uint64(512)
	b := harness.New(t)
	b.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
	b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	b.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares}
	got := b.Sh(`cd /sys/fs/cgroup
cat memory.max memory/memory.limit_in_bytes 2>/dev/null
cat pids.max pids/pids.max 2>/dev/null
cat cpu.max cpu/cpu.cfs_quota_us 2>/dev/null
true`)
	fields := strings.Fields(got)
	if len(fields) < 3 || fields[0] != "67108864" || fields[1] != "50" || fields[2] != "20000" {
		t.Errorf("got %q", got)
	}
}

// TestPidsLimitOfOne: the runtime's own threads don't count.
func TestPidsLimitOfOne(t *testing.T) {
	harness.OrlopOnly(t, "others need more to start")
	one := int64(1)
	b := harness.New(t)
	b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &one}
	b.Write()
	b.OK("run", "--bundle", b.Bundle, b.ID)
}

// TestProcSelfExe: a process that is /proc/self/exe, or requests it as its interpreter, doesn't get
// the host's binary.
func TestProcSelfExe(t *testing.T) {
	before := sha256.Sum256([]byte(read(t, harness.Runtime())))
	for name, args := range map[string][]string{"args": {"/proc/self/exe", "--version"}, "script": {"/opt-script"}, "link": {"/opt-link", "--version"}} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, harness.Writable, harness.Args(args...))
			must(t, os.WriteFile(filepath.Join(b.Rootfs, "opt-script"), []byte("#!/proc/self/exe\n"), 0o755))
			must(t, os.Symlink("/proc/self/exe", filepath.Join(b.Rootfs, "opt-link")))
			r := b.Do("run", "--bundle", b.Bundle, b.ID)
			if harness.Name() == "orlop" && strings.Contains(r.Stdout, "spec:") {
				t.Errorf("the runtime runs in the container: %s", r.Stdout)
			}
		})
	}
	if after := sha256.Sum256([]byte(read(t, harness.Runtime()))); !bytes.Equal(before[:], after[:]) {
		t.Error("the runtime's binary has changed")
	}
}

// TestManyStateReaders: state is read completely while containers come and go.
func TestManyStateReaders(t *testing.T) {
	b := harness.New(t)
	b.Create()
	var processes []*harness.Process
	for range 10 {
		processes = append(processes, b.Cmd("state", b.ID).Start())
	}
	b.OK("start", b.ID)
	for i, p := range processes {
		if r := p.Wait(); r.Status != 0 || !strings.Contains(r.Stdout, `"status"`) {
			t.Errorf("reader %d: %s", i, fmt.Sprint(r))
		}
	}
}

// firstCPU returns a processor that this process may run on.
func firstCPU(t *testing.T) int {
	t.Helper()
	var allowed unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &allowed))
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			return cpu
		}
	}
	t.Fatal("this process may run nowhere")
	return 0
}
