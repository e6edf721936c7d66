package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// without makes a box whose container has no cgroup.
func without(t *testing.T, changes ...func(*specs.Spec)) *harness.Box {
	t.Helper()
	harness.OrlopOnly(t, "runc makes a cgroup always, and crun's checks are others")
	b := harness.New(t, changes...)
	b.Global = []string{"--cgroup-manager", "disabled"}
	return b
}

// TestDisabled: the container is in its caller's cgroup, and options that need a cgroup are errors.
func TestDisabled(t *testing.T) {
	b := without(t, func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: limit(int64(5))} })
	own := read(t, "/proc/self/cgroup")
	r := b.Run(harness.Args("cat", "/proc/self/cgroup"))
	if got := r.OK(b); got != own {
		t.Errorf("in %s, and the caller in %s", got, own)
	}
	if !strings.Contains(r.Stderr, "linux.resources: devices, pids: not applied") {
		t.Errorf("warned by %q", r.Stderr)
	}
	b.Spec.Linux.Resources = nil
	pid := b.Up()
	for _, mount := range cgroupMounts(t) {
		if _, err := os.Stat(filepath.Join(mount, b.Cgroup)); err == nil {
			t.Errorf("there is a cgroup in %s", mount)
		}
	}
	b.Global = nil // later commands find out by themselves
	for _, command := range [][]string{
		{"pause", b.ID}, {"update", "--pids-limit", "5", b.ID}, {"events", "--stats", b.ID}, {"exec", "--cgroup", "x", b.ID, "true"},
	} {
		b.Fails("cgroup not exist", command...)
	}
	b.Fails("container not paused", "resume", b.ID)
	if got := b.OK("exec", b.ID, "cat", "/proc/self/cgroup"); got != own {
		t.Errorf("exec: in %s", got)
	}
	if got := b.OK("ps", "--format", "json", b.ID); !strings.Contains(got, strconv.Itoa(pid)) {
		t.Errorf("ps: %s", got)
	}
	b.OK("kill", "--all", b.ID, "KILL")
	b.WaitGone(pid)
	b.Fails("container not running", "kill", b.ID, "KILL")
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestDisabledMount: without a cgroup namespace, a mount shows the container the caller's cgroup
// and not the host's.
func TestDisabledMount(t *testing.T) {
	b := without(t, func(s *specs.Spec) { s.Linux.Resources = nil })
	shown, controller := "/sys/fs/cgroup", ""
	if harness.CgroupMount("pids") != "" {
		shown, controller = "/sys/fs/cgroup/pids", "pids"
	}
	var own unix.Stat_t
	must(t, unix.Stat(cgroupDirectories(t, os.Getpid())[controller], &own))
	if got := strings.TrimSpace(b.Sh("stat -c %i " + shown)); got != strconv.FormatUint(own.Ino, 10) {
		t.Errorf("the directory %s is shown, and the caller's is %d", got, own.Ino)
	}
}

// TestDisabledKill: all processes of a container are reached, by its namespaces or else by descent,
// even if the first has exited.
func TestDisabledKill(t *testing.T) {
	noPid := harness.WithoutNamespace("pid")
	bare := func(s *specs.Spec) {
		s.Linux.Namespaces, s.Hostname, s.Mounts = nil, "", nil
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Root.Readonly = nil, nil, false
	}
	for _, c := range []struct {
		name    string
		change  func(*specs.Spec)
		endless bool // the first process stays
		command []string
	}{
		{"kill", noPid, true, []string{"kill", "ID", "KILL"}},
		{"kill --all", noPid, true, []string{"kill", "--all", "ID", "KILL"}},
		{"delete", noPid, true, []string{"delete", "--force", "ID"}},
		{"kill after the first has gone", noPid, false, []string{"kill", "ID", "KILL"}},
		{"kill --all after the first has gone", noPid, false, []string{"kill", "--all", "ID", "KILL"}},
		{"delete after the first has gone", noPid, false, []string{"delete", "ID"}},
		{"kill without namespaces", bare, true, []string{"kill", "ID", "KILL"}},
		{"delete without namespaces", bare, true, []string{"delete", "--force", "ID"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := "sleep 1000 & echo $!; read line"
			if c.endless {
				script = "sleep 1000 & echo $!; exec sleep 1000"
			}
			b := without(t, harness.Sh(script), func(s *specs.Spec) { s.Linux.Resources = nil }, c.change)
			var st unix.Statfs_t
			must(t, unix.Statfs(b.Rootfs, &st))
			if len(b.Spec.Mounts) == 0 && st.Flags&unix.MS_NODEV != 0 {
				t.Skip("the filesystem of the tests' directory has no devices (nodev), and a shell's background process opens /dev/null")
			}
			lines := b.Create()
			first := b.State().Pid
			b.OK("start", b.ID)
			second, err := strconv.Atoi(lines.Next())
			must(t, err)
			if !c.endless {
				b.WaitGone(first)
				b.Status("stopped")
			}
			must(t, unix.Kill(second, 0))
			args := append([]string(nil), c.command...)
			for i := range args {
				if args[i] == "ID" {
					args[i] = b.ID
				}
			}
			b.OK(args...)
			b.WaitGone(first)
			b.WaitGone(second)
			if args[0] == "kill" {
				b.OK("delete", b.ID)
			}
			b.CheckClean()
		})
	}
}

// TestDisabledOthers: a process that shares namespaces with a container without a cgroup does not
// count as its process: that of another container of the pod, or of the host.
func TestDisabledOthers(t *testing.T) {
	harness.OrlopOnly(t, "others have no container without a cgroup")
	joined := func(kind specs.LinuxNamespaceType, pid int) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if n := &s.Linux.Namespaces[i]; n.Type == kind {
					n.Path = fmt.Sprintf("/proc/%d/ns/%s", pid, map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.PIDNamespace: "pid"}[kind])
				}
			}
		}
	}
	none := func(s *specs.Spec) { s.Linux.Resources = nil }
	network := func(t *testing.T, mounts bool) {
		for _, command := range [][]string{{"kill", "ID", "KILL"}, {"kill", "--all", "ID", "KILL"}, {"delete", "--force", "ID"}} {
			b := without(t, none, harness.WithoutNamespace("pid"), harness.Sh("(sleep 1000 & echo $!); exec sleep 1000"))
			if !mounts {
				harness.Sh("sleep 1000 </proc/self/fd/0 & echo $!; exec sleep 1000")(b.Spec)
				b.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}
				b.Spec.Hostname, b.Spec.Linux.MaskedPaths, b.Spec.Linux.ReadonlyPaths, b.Spec.Root.Readonly = "", nil, nil, false
				b.Spec.Mounts = b.Spec.Mounts[:2] // /proc, /dev
				b.Write()
			}
			lines := b.Create()
			first := b.State().Pid
			b.OK("start", b.ID)
			second, err := strconv.Atoi(lines.Next())
			must(t, err)
			other := without(t, none, harness.WithoutNamespace("pid"), joined(specs.NetworkNamespace, first))
			otherPid := other.Up()
			host := exec.Command("nsenter", "--net=/proc/"+strconv.Itoa(first)+"/ns/net", "sleep", "1000")
			must(t, harness.StartOther(host))
			args := slices.Clone(command)
			args[slices.Index(args, "ID")] = b.ID
			b.OK(args...)
			b.WaitGone(first)
			b.WaitGone(second)
			if s := other.State(); s.Status != specs.StateRunning || s.Pid != otherPid {
				t.Errorf("%v: the other container is now %+v", command, s)
			}
			if unix.Kill(host.Process.Pid, 0) != nil {
				t.Errorf("%v: the host's process has ended", command)
			}
			host.Process.Kill()
			harness.WaitOther(host)
			b.OK("delete", "--force", b.ID)
			other.OK("delete", "--force", other.ID)
		}
	}
	t.Run("network, with a mount namespace", func(t *testing.T) { network(t, true) })
	t.Run("network alone", func(t *testing.T) { network(t, false) })
	t.Run("PID", func(t *testing.T) {
		b := without(t, none, harness.Sh("trap 'echo got it' USR1; sleep 1000 & echo up; while :; do wait; done"))
		lines := b.Create()
		first := b.State().Pid
		b.OK("start", b.ID)
		if line := lines.Next(); line != "up" {
			t.Fatalf("got %q", line)
		}
		other := without(t, none, joined(specs.PIDNamespace, first))
		other.Up()
		if pids := pidsOf(b); len(pids) != 2 {
			t.Errorf("processes: %v", pids)
		}
		b.OK("kill", "--all", b.ID, "USR1")
		if line := lines.Next(); line != "got it" {
			t.Errorf("got %q", line)
		}
		other.Status("running")
		other.OK("delete", "--force", other.ID)
		b.OK("delete", "--force", b.ID)
	})
}
