package e2e

import (
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

// writableCgroups gives a container a cgroup namespace of its own, and a writable mount of its
// cgroups.
func writableCgroups(s *specs.Spec) {
	harness.WithNamespace("cgroup", "")(s)
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/sys/fs/cgroup" {
			s.Mounts[i].Options = slices.DeleteFunc(s.Mounts[i].Options, func(o string) bool { return o == "ro" })
		}
	}
}

// needCgroup2 skips where controllers are on v1 hierarchies.
func needCgroup2(t *testing.T) {
	t.Helper()
	if harness.CgroupMount("memory") != "" || harness.CgroupMount("") == "" {
		t.Skip("this host's controllers are on cgroup v1: make test-vm has cgroup2 only")
	}
}

// children starts a container without a PID namespace, with n processes besides the first one, and
// returns their PIDs. With leave the first one then exits.
func children(t *testing.T, b *harness.Box, n int, leave bool) (first int, others []int) {
	t.Helper()
	script := "i=0; while [ $i -lt " + strconv.Itoa(n) + " ]; do sleep 1000 & echo $!; i=$((i+1)); done; "
	if leave {
		script += "exit 0"
	} else {
		script += "exec sleep 1000"
	}
	harness.WithoutNamespace("pid")(b.Spec)
	harness.Sh(script)(b.Spec)
	b.Write()
	lines := b.Create()
	first = b.State().Pid
	b.OK("start", b.ID)
	for range n {
		pid, err := strconv.Atoi(lines.Next())
		must(t, err)
		others = append(others, pid)
	}
	if leave {
		b.WaitGone(first)
		b.Status("stopped")
	}
	return first, others
}

// TestKillAfterFirst: a container that shares its PID namespace can be killed when its first
// process has exited.
func TestKillAfterFirst(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 says that there is nothing to kill")
	for _, command := range [][]string{{"kill", "ID", "KILL"}, {"kill", "ID", "9"}, {"kill", "--all", "ID", "KILL"}, {"kill", "--all", "ID", "TERM"}, {"delete", "ID"}} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			b := harness.New(t)
			_, others := children(t, b, 3, true)
			args := slices.Clone(command)
			args[slices.Index(args, "ID")] = b.ID
			if args[0] == "kill" && !slices.Contains(args, "--all") {
				// A TERM without --all is for the first process, which has exited.
				b.Fails("container not running", "kill", b.ID, "TERM")
			}
			b.OK(args...)
			for _, pid := range others {
				b.WaitGone(pid)
			}
			if args[0] == "kill" {
				b.Fails("container not running", "kill", b.ID, "KILL")
				b.OK("delete", b.ID)
			}
			b.CheckClean()
		})
	}
}

// TestKillBelow: processes in cgroups below the container's are reached as well, including frozen
// ones.
func TestKillBelow(t *testing.T) {
	for _, command := range [][]string{{"kill", "ID", "KILL"}, {"delete", "--force", "ID"}} {
		t.Run(command[0], func(t *testing.T) {
			harness.OrlopOnly(t, "others leave frozen ones")
			b := harness.New(t)
			first, others := children(t, b, 2, false)
			for _, mount := range cgroupMounts(t) {
				top := filepath.Join(mount, b.Cgroup)
				for i, sub := range []string{"a", "a/b"} {
					dir := filepath.Join(top, sub)
					must(t, os.Mkdir(dir, 0o755))
					// A cgroup of v1 accepts no process before these are set.
					for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
						if data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil {
							os.WriteFile(filepath.Join(dir, file), data, 0)
						}
					}
					must(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(others[i])), 0))
				}
				os.WriteFile(filepath.Join(top, "a/b/cgroup.freeze"), []byte("1"), 0) // cgroup2's
			}
			args := slices.Clone(command)
			args[slices.Index(args, "ID")] = b.ID
			b.OK(args...)
			for _, pid := range append(others, first) {
				b.WaitGone(pid)
			}
			if command[0] == "kill" {
				b.OK("delete", b.ID)
			}
			b.CheckClean()
		})
	}
}

// TestExecBesideFirst: a container that enables controllers for cgroups of its own can have no
// process in its topmost one. A process executed in it starts in the cgroup of its first process.
func TestExecBesideFirst(t *testing.T) {
	needCgroup2(t)
	b := harness.New(t, writableCgroups, harness.Sh("cd /sys/fs/cgroup && mkdir in && echo 1 > in/cgroup.procs && echo +pids > cgroup.subtree_control; echo $?; exec sleep 1000"))
	lines := b.Create()
	b.OK("start", b.ID)
	if line := lines.Next(); line != "0" {
		t.Fatalf("the container's cgroup could not be divided: %s", line)
	}
	if got := b.OK("exec", b.ID, "cat", "/proc/self/cgroup"); directoriesIn(t, got)[""] != harness.CgroupMount("")+"/in" {
		t.Errorf("exec: in %q", got)
	}
	if got := b.OK("exec", "--cgroup", "/in", b.ID, "cat", "/proc/self/cgroup"); directoriesIn(t, got)[""] != harness.CgroupMount("")+"/in" {
		t.Errorf("exec --cgroup /in: in %q", got)
	}
	b.Fails("", "exec", "--cgroup", "/", b.ID, "true")
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}

// TestDelegation: a container in a user namespace, with a cgroup namespace and a writable mount of
// its cgroup, may make cgroups there but not change its limits.
func TestDelegation(t *testing.T) {
	needCgroup2(t)
	for _, manager := range []string{"cgroupfs", "systemd"} {
		t.Run(manager, func(t *testing.T) {
			b := harness.New(t)
			if manager == "systemd" {
				b, _ = managed(t)
			}
			own(t, b, 100000)
			b.Spec.Root.Readonly = true
			withUser(shifted())(b.Spec)
			writableCgroups(b.Spec)
			b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: limit(int64(40))}
			harness.Sh(`cd /sys/fs/cgroup
				stat -c '%n %u' . cgroup.procs cgroup.threads cgroup.subtree_control pids.max cgroup.freeze memory.max
				mkdir in && echo 0 > in/cgroup.procs && echo +pids > cgroup.subtree_control && echo made
				echo 30 > pids.max || echo refused; cat pids.max; echo 30 > in/pids.max && echo allowed; exec sleep 1000`)(b.Spec)
			b.Write()
			lines := b.Create()
			b.OK("start", b.ID)
			for _, want := range []string{". 0", "cgroup.procs 0", "cgroup.threads 0", "cgroup.subtree_control 0", "pids.max 65534", "cgroup.freeze 65534",
				"memory.max 65534", "made", "refused", "40", "allowed"} {
				if got := lines.Next(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			directory := filepath.Join(harness.CgroupMount(""), b.Cgroup)
			for _, name := range append(strings.Fields(read(t, "/sys/kernel/cgroup/delegate")), ".") {
				var st unix.Stat_t
				if err := unix.Stat(filepath.Join(directory, name), &st); err == nil && st.Uid != 100000 {
					t.Errorf("%s belongs to %d", name, st.Uid)
				}
			}
			b.OK("delete", "--force", b.ID)
			b.CheckClean()
		})
	}
}

// TestNoDelegation: without one of the conditions the cgroup stays root's.
func TestNoDelegation(t *testing.T) {
	needCgroup2(t)
	for name, change := range map[string]func(*specs.Spec){
		"read-only mount":     harness.WithNamespace("cgroup", ""),
		"no cgroup namespace": func(s *specs.Spec) { writableCgroups(s); harness.WithoutNamespace("cgroup")(s) },
		"no mount": func(s *specs.Spec) {
			writableCgroups(s)
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, withUser(shifted()), change)
			own(t, b, 100000)
			b.OK("create", "--bundle", b.Bundle, b.ID)
			var st unix.Stat_t
			must(t, unix.Stat(filepath.Join(harness.CgroupMount(""), b.Cgroup, "cgroup.procs"), &st))
			if st.Uid != 0 {
				t.Errorf("cgroup.procs belongs to %d", st.Uid)
			}
		})
	}
}
