package e2e

import (
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// asUser makes the box one of an ordinary user in a session of that user, whose own systemd manages
// the cgroup. It returns the unit, and a function that runs systemctl for that systemd.
func asUser(t *testing.T, changes ...func(*specs.Spec)) (b *harness.Box, unit string, ctl func(args ...string) string) {
	t.Helper()
	harness.OrlopOnly(t, "the names are orlop's, and others have tests of theirs")
	wrap, err := exec.LookPath("as-user")
	if err != nil {
		t.Skip("no ordinary user has a session with a systemd here: make test-vm has one")
	}
	u, err := user.Lookup("user")
	must(t, err)
	uid, err := strconv.Atoi(u.Uid)
	must(t, err)
	b = harness.New(t)
	b.Global, b.Wrap, b.UID = []string{"--systemd-cgroup"}, []string{wrap}, uid
	b.Spec.Root.Readonly = false
	withUser([]specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(uid), Size: 1}})(b.Spec)
	// GID 5 is not mapped.
	b.Spec.Mounts[2].Options = []string{"newinstance", "ptmxmode=0666", "mode=0620"}
	harness.WithNamespace("cgroup", "")(b.Spec)
	for _, change := range changes {
		change(b.Spec)
	}
	manager := "/user.slice/user-" + u.Uid + ".slice/user@" + u.Uid + ".service"
	inUnit(b, "", "")
	b.Cgroup = manager + "/user.slice/e2e-" + b.ID + ".scope"
	own(t, b, uid)
	b.Aside(exec.Command("chown", "-R", strconv.Itoa(uid), b.Dir))
	return b, "e2e-" + b.ID + ".scope", func(args ...string) string {
		t.Helper()
		return output(b, exec.Command(wrap, append([]string{"systemctl", "--user"}, args...)...))
	}
}

// TestSystemdUser: the containers of an ordinary user have limits through the user's own systemd,
// which moves their processes.
func TestSystemdUser(t *testing.T) {
	b, unit, ctl := asUser(t, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: limit(int64(100 << 20))}, Pids: &specs.LinuxPids{Limit: limit(int64(40))},
		}
	})
	b.OK("create", "--bundle", b.Bundle, b.ID)
	directory := filepath.Join(harness.CgroupMount(""), b.Cgroup)
	if got := strings.TrimSpace(read(t, filepath.Join(directory, "cgroup.procs"))); got != strconv.Itoa(b.State().Pid) {
		t.Errorf("in the cgroup are %s", got)
	}
	if got := read(t, filepath.Join(directory, "memory.max")) + read(t, filepath.Join(directory, "pids.max")); got != "104857600\n40\n" {
		t.Errorf("limits: %q", got)
	}
	if got := ctl("show", unit, "--property=ActiveState", "--property=TasksMax", "--property=ControlGroup"); got !=
		"ControlGroup="+b.Cgroup+"\nTasksMax=40\nActiveState=active" {
		t.Errorf("unit: %s", got)
	}
	b.OK("delete", "--force", b.ID)
	if got := ctl("show", unit, "--property=LoadState"); got != "LoadState=not-found" {
		t.Errorf("unit: %s", got)
	}
	b.CheckClean()
}

// TestSystemdUserExec: other processes are moved into the cgroup, too, if --cgroup is given or the
// container has divided its cgroup.
func TestSystemdUserExec(t *testing.T) {
	b, unit, ctl := asUser(t, writableCgroups, harness.Sh("echo up; sleep 1000 & wait"))
	b.OK("run", "--detach", "--bundle", b.Bundle, b.ID)
	in := func(want string, args ...string) {
		t.Helper()
		if got := b.OK(append(append([]string{"exec"}, args...), b.ID, "cat", "/proc/self/cgroup")...); directoriesIn(t, got)[""] != harness.CgroupMount("")+strings.TrimSuffix(want, "/") {
			t.Errorf("exec %q: in %q", args, got)
		}
	}
	in("/")
	b.OK("exec", b.ID, "mkdir", "/sys/fs/cgroup/sub")
	in("/sub", "--cgroup", "sub")
	b.OK("exec", b.ID, "sh", "-c", "cd /sys/fs/cgroup && for p in $(cat cgroup.procs); do echo $p > sub/cgroup.procs; done; echo +pids > cgroup.subtree_control")
	in("/sub")
	b.OK("pause", b.ID)
	b.Fails("container paused", "exec", b.ID, "true")
	b.Fails("container paused", "exec", "--ignore-paused", b.ID, "true")
	b.OK("resume", b.ID)
	b.OK("update", "--pids-limit", "30", b.ID)
	if got := ctl("show", unit, "--property=TasksMax"); got != "TasksMax=30" {
		t.Errorf("unit: %s", got)
	}
	b.OK("kill", b.ID, "KILL")
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}

// TestSystemdUserNamespace: the user's own systemd also manages the cgroup if the runtime is called
// by the root of the user's user namespace, as Podman does.
func TestSystemdUserNamespace(t *testing.T) {
	b, unit, ctl := asUser(t, func(s *specs.Spec) {
		s.Linux.UIDMappings[0].HostID, s.Linux.GIDMappings[0].HostID = 0, 0
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: limit(int64(40))}}
	})
	b.Wrap = append(b.Wrap, "unshare", "--user", "--map-root-user", "--map-auto", "--mount")
	b.OK("create", "--bundle", b.Bundle, b.ID)
	if got := ctl("show", unit, "--property=ActiveState", "--property=TasksMax", "--property=ControlGroup"); got !=
		"ControlGroup="+b.Cgroup+"\nTasksMax=40\nActiveState=active" {
		t.Errorf("unit: %s", got)
	}
	b.OK("start", b.ID)
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}
