package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// cgroupDirectories returns the directories of the process's cgroups, by the controllers' names in
// /proc/PID/cgroup.
func cgroupDirectories(t *testing.T, pid int) map[string]string {
	t.Helper()
	return directoriesIn(t, read(t, "/proc/"+strconv.Itoa(pid)+"/cgroup"))
}

// directoriesIn returns the directories listed in such a file. It omits hierarchies that are not
// mounted: the kernel keeps one for a while after another test has unmounted it.
func directoriesIn(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if mount := harness.CgroupMount(fields[1]); mount != "" {
			found[fields[1]] = filepath.Join(mount, fields[2])
		}
	}
	if len(found) == 0 {
		t.Skip("no cgroup hierarchy is mounted")
	}
	return found
}

// TestPaused: no process runs in a paused container; exec is refused, or waits with
// --ignore-paused.
func TestPaused(t *testing.T) {
	harness.OrlopOnly(t, "this runc has no --ignore-paused")
	b := harness.New(t)
	pid := b.Up(harness.Sh("echo up; exec sleep 1000"))
	b.Fails("not paused", "resume", b.ID)
	b.OK("pause", b.ID)
	b.Status("paused")
	b.Fails("container paused", "exec", b.ID, "true")
	b.Fails("", "start", b.ID)
	b.Fails("container still running", "delete", b.ID)

	lines := b.Lines()
	c := b.Cmd("exec", "--ignore-paused", b.ID, "sh", "-c", "read line; echo in")
	in, write, err := os.Pipe()
	must(t, err)
	defer write.Close()
	c.Stdin, c.Stdout = in, lines.Writer
	p := c.Start()
	lines.Writer.Close()
	in.Close()
	waitProcesses(t, pid, 2)
	b.Status("paused")
	b.OK("resume", b.ID)
	b.Status("running")
	write.Close()
	p.Wait().OK(b)
	if line := lines.Next(); line != "in" {
		t.Errorf("got %q", line)
	}

	b.OK("pause", b.ID)
	p = b.Cmd("exec", "--ignore-paused", b.ID, "sleep", "1000").Start()
	waitProcesses(t, pid, 2)
	b.OK("delete", "--force", b.ID)
	if r := p.Wait(); r.Status == 0 {
		t.Errorf("exec: %+v", r)
	}
	b.CheckClean()
}

// waitProcesses waits until the cgroups of a process have this number of processes, according to
// the freezer or v2's.
func waitProcesses(t *testing.T, pid, want int) {
	t.Helper()
	directories := cgroupDirectories(t, pid)
	directory, ok := directories["freezer"]
	if !ok {
		directory = directories[""]
	}
	deadline := time.Now().Add(hang.Limit)
	for strings.Count(read(t, filepath.Join(directory, "cgroup.procs")), "\n") != want {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not %d processes", directory, want)
		}
		time.Sleep(2 * time.Millisecond) // v1 has no event for new processes
	}
}

// TestKillPaused: a signal reaches a paused container's process when it is resumed, and SIGKILL at
// once.
func TestKillPaused(t *testing.T) {
	b := harness.New(t)
	pid := b.Up()
	b.OK("pause", b.ID)
	b.OK("kill", b.ID, "KILL")
	if harness.Name() != "orlop" {
		b.Do("resume", b.ID)
	}
	b.WaitGone(pid)
	b.Status("stopped")
	b.OK("delete", b.ID)
}

// TestFrozenCgroup: no process can be started in a frozen cgroup.
func TestFrozenCgroup(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 waits")
	owner, guest := harness.New(t), harness.New(t)
	owner.Up()
	owner.OK("pause", owner.ID)
	guest.Spec.Linux.CgroupsPath = owner.Spec.Linux.CgroupsPath
	guest.Write()
	guest.Fails("container paused", "create", "--bundle", guest.Bundle, guest.ID)
	guest.CheckClean()
	owner.Status("paused")
	owner.OK("resume", owner.ID)
}

// TestExecInSubCgroup: exec --cgroup PATH and CONTROLLER:PATH.
func TestExecInSubCgroup(t *testing.T) {
	b := harness.New(t)
	directories := cgroupDirectories(t, b.Up())
	var made []string
	for _, directory := range directories {
		sub := filepath.Join(directory, "sub")
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		made = append(made, sub)
		// A v1 cpuset accepts no process before it has these.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if data, err := os.ReadFile(filepath.Join(directory, file)); err == nil {
				os.WriteFile(filepath.Join(sub, file), data, 0o644)
			}
		}
	}
	in := func(flags ...string) map[string]bool {
		t.Helper()
		found := map[string]bool{}
		args := []string{"exec"}
		for _, flag := range flags {
			args = append(args, "--cgroup", flag)
		}
		for line := range strings.Lines(b.OK(append(args, b.ID, "cat", "/proc/self/cgroup")...)) {
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			found[fields[1]] = strings.HasSuffix(fields[2], "/sub")
		}
		return found
	}
	for controllers := range directories {
		if !in("sub")[controllers] {
			t.Errorf("sub: not in that of %q", controllers)
		}
	}
	for controllers := range directories {
		if controllers == "" || strings.Contains(controllers, "=") {
			continue
		}
		controller, _, _ := strings.Cut(controllers, ",")
		for other, is := range in(controller + ":sub") {
			if is != (other == controllers) {
				t.Errorf("%s:sub: in that of %q: %v", controller, other, is)
			}
		}
	}
	if directories["pids"] != "" && directories["freezer"] != "" {
		for _, flags := range [][]string{{"pids:/sub", "freezer:sub"}, {"pids,freezer:sub"}} {
			for controllers, is := range in(flags...) {
				if is != (controllers == "pids" || controllers == "freezer") {
					t.Errorf("%v: in that of %q: %v", flags, controllers, is)
				}
			}
		}
	}
	if directories[""] != "" && harness.Name() == "orlop" {
		for controllers, is := range in(":sub") {
			if is != (controllers == "") {
				t.Errorf(":sub: in that of %q: %v", controllers, is)
			}
		}
	}
	for _, flag := range []string{"..", "../x", "sub/../..", "nothing", "no-such-controller:sub", "memory:../x"} {
		if r := b.Do("exec", "--cgroup", flag, b.ID, "true"); r.Status == 0 {
			t.Errorf("--cgroup %s is taken", flag)
		}
	}
	for _, sub := range made {
		if err := os.Remove(sub); err != nil {
			t.Error(err)
		}
	}
}

// TestCgroupsPathOut: ".." in the path is an error.
func TestCgroupsPathOut(t *testing.T) {
	harness.OrlopOnly(t, "runc takes the path without its dots")
	for _, path := range []string{"/a/../../b", "../x", "/..", "a/.."} {
		b := harness.New(t)
		b.Spec.Linux.CgroupsPath = path
		b.Write()
		b.Fails("linux.cgroupsPath", "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	}
}

// TestKillHostPid: SIGKILL and delete kill all processes of a container that shares the host's PID
// namespace.
func TestKillHostPid(t *testing.T) {
	for _, command := range []string{"kill", "delete"} {
		t.Run(command, func(t *testing.T) {
			b := harness.New(t, harness.WithoutNamespace("pid"),
				harness.Sh("sleep 1000 & echo $!; exec sleep 1000"))
			lines := b.Create()
			first := b.State().Pid
			b.OK("start", b.ID)
			second, err := strconv.Atoi(lines.Next())
			if err != nil || second == first {
				t.Fatalf("second process %d: %v", second, err)
			}
			if command == "kill" {
				if harness.Name() == "orlop" {
					b.OK("kill", b.ID, "KILL")
				} else {
					b.OK("kill", "--all", b.ID, "KILL")
				}
			} else {
				b.OK("delete", "--force", b.ID)
			}
			b.WaitGone(first)
			b.WaitGone(second)
			if command == "kill" {
				b.Status("stopped")
				b.OK("delete", b.ID)
			}
			b.CheckClean()
		})
	}
	t.Run("other signals", func(t *testing.T) { // are only for the first process
		b := harness.New(t, harness.WithoutNamespace("pid"),
			harness.Sh("trap 'echo got it' USR1; sleep 1000 & echo $!; while :; do wait; done"))
		lines := b.Create()
		b.OK("start", b.ID)
		second, err := strconv.Atoi(lines.Next())
		must(t, err)
		b.OK("kill", b.ID, "USR1")
		if line := lines.Next(); line != "got it" {
			t.Errorf("got %q", line)
		}
		must(t, unix.Kill(second, 0))
	})
}

// TestEmptyCgroupIsKept: an empty directory from before the container is used without a warning.
func TestEmptyCgroupIsKept(t *testing.T) {
	b := harness.New(t)
	directories := cgroupDirectories(t, os.Getpid())
	var made []string
	for controllers := range directories {
		path := filepath.Join(harness.CgroupMount(controllers), b.Spec.Linux.CgroupsPath)
		if !slices.Contains(made, path) && os.MkdirAll(path, 0o755) == nil {
			made = append(made, path)
		}
	}
	r := b.Do("run", "--bundle", b.Bundle, b.ID)
	r.OK(b)
	if r.Stderr != "" {
		t.Errorf("standard error: %q", r.Stderr)
	}
	for _, path := range made {
		os.Remove(path)
	}
}

// TestFailedCreateLeavesNoParents: missing parents of the cgroup that create has made are removed
// with it if the container cannot be created. The error is the original one, although the process
// is entering the cgroup by then.
func TestFailedCreateLeavesNoParents(t *testing.T) {
	harness.OrlopOnly(t, "runc leaves the parents")
	for name, c := range map[string]struct {
		change func(*specs.Spec)
		want   string
	}{
		"a limit": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: new(uint16)}}
			*s.Linux.Resources.BlockIO.LeafWeight = 100
		}, "linux.resources.blockIO.leafWeight"},
		"a mount": {func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/nowhere", Type: "nosuchfs", Source: "none"})
		}, "nosuchfs"},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, c.change)
			parent := b.Cgroup
			b.Spec.Linux.CgroupsPath = filepath.Join(parent, "below", "box")
			b.Write()
			for range 10 {
				b.Fails(c.want, "create", "--bundle", b.Bundle, b.ID)
			}
			for controllers := range cgroupDirectories(t, os.Getpid()) {
				left := filepath.Join(harness.CgroupMount(controllers), parent)
				if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: %v", left, err)
				}
			}
			b.CheckClean()
		})
	}
}
