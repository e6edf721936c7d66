package e2e

import (
	"os"
	"path/filepath"
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

// TestDisabled: the container is where its caller is, and what needs a cgroup says so.
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
	b.Global = nil // what comes later goes by what there is
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

// TestDisabledMount: without a cgroup namespace, a mount shows the container the caller's cgroup and not the host's.
func TestDisabledMount(t *testing.T) {
	b := without(t, func(s *specs.Spec) { s.Linux.Resources = nil })
	shown, controller := "/sys/fs/cgroup", ""
	if harness.CgroupMount("pids") != "" {
		shown, controller = "/sys/fs/cgroup/pids", "pids"
	}
	var own unix.Stat_t
	must(t, unix.Stat(cgroupFolders(t, os.Getpid())[controller], &own))
	if got := strings.TrimSpace(b.Sh("stat -c %i " + shown)); got != strconv.FormatUint(own.Ino, 10) {
		t.Errorf("the folder %s is shown, and the caller's is %d", got, own.Ino)
	}
}

// TestDisabledKill: all processes of a container are reached, by the namespaces that it has or else by descent, also when the first
// has ended.
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
				t.Skip("the file system of the tests' folder has no devices (nodev), and a shell's background process opens /dev/null")
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
