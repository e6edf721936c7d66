package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/harness"
)

// A below is a container whose cgroup is below its unit's, or whose processes are in a cgroup below
// the one with the limits.
type below struct {
	*harness.Box
	unit         string // "" without systemd
	limits, home string // the directory with the limits, and that of the processes
	owner        int    // owner of home
}

// newBelow makes one, with a program that reports what it sees of its cgroup.
func newBelow(t *testing.T, systemd bool, subgroup, delegated string, changes ...func(*specs.Spec)) *below {
	t.Helper()
	harness.OrlopOnly(t, "the annotations are crun's")
	c := &below{}
	if systemd {
		c.Box, c.unit = managed(t, changes...)
	} else {
		c.Box = harness.New(t, changes...)
	}
	if c.Spec.Linux.UIDMappings != nil {
		c.owner = 100000
		own(t, c.Box, c.owner)
	}
	c.Spec.Root.Readonly = true
	c.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: limit(int64(40))}
	c.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: limit(int64(100 << 20))}
	c.Spec.Annotations = map[string]string{specconv.SystemdSubgroup: subgroup, specconv.DelegateCgroup: delegated}
	harness.Sh("cat /proc/self/cgroup; grep -qx $$ /sys/fs/cgroup/cgroup.procs; echo $?; exec sleep 1000")(c.Spec)
	c.Write()
	c.limits = filepath.Join(harness.CgroupMount(""), c.Cgroup, subgroup)
	c.home = filepath.Join(c.limits, delegated)
	return c
}

// TestSubgroup: the limits and the processes are in their own cgroups, and the commands find them
// there.
func TestSubgroup(t *testing.T) {
	needCgroup2(t)
	user := withUser(shifted())
	for name, c := range map[string]struct {
		systemd             bool
		subgroup, delegated string
		changes             []func(*specs.Spec)
	}{
		"delegated":                      {false, "", "mine", []func(*specs.Spec){writableCgroups, user}},
		"delegated, the host's root":     {false, "", "mine", []func(*specs.Spec){writableCgroups}},
		"delegated, no cgroup namespace": {false, "", "mine", []func(*specs.Spec){harness.WithoutNamespace("cgroup")}},
		"subgroup":                       {true, "sub", "", []func(*specs.Spec){writableCgroups}},
		"subgroup, user namespace":       {true, "sub", "", []func(*specs.Spec){writableCgroups, user}},
		"unit, delegated":                {true, "", "mine", []func(*specs.Spec){writableCgroups, user}},
		"unit, both":                     {true, "sub", "mine", []func(*specs.Spec){writableCgroups, user}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBelow(t, c.systemd, c.subgroup, c.delegated, c.changes...)
			lines := b.Create()
			b.checkCgroups(t)
			b.OK("start", b.ID)
			root := "0::/"
			if strings.HasSuffix(name, "no cgroup namespace") {
				root = "0::" + strings.TrimPrefix(b.home, harness.CgroupMount(""))
			}
			for _, want := range []string{root, "0"} {
				if got := lines.Next(); got != want {
					t.Errorf("inside: %q, want %q", got, want)
				}
			}
			b.checkCommands(t)
			if b.unit != "" {
				checkNoUnit(b.Box, b.unit)
			}
		})
	}
}

// checkCgroups checks the cgroups of a created container.
func (b *below) checkCgroups(t *testing.T) {
	t.Helper()
	if in := cgroupDirectories(t, b.State().Pid)[""]; in != b.home {
		t.Errorf("the process is in %s, want %s", in, b.home)
	}
	for file, want := range map[string]string{"pids.max": "40", "memory.max": "104857600"} {
		if got := strings.TrimSpace(read(t, filepath.Join(b.limits, file))); got != want {
			t.Errorf("%s is %s in %s", file, got, b.limits)
		}
		if b.home == b.limits {
			continue
		}
		if got := strings.TrimSpace(read(t, filepath.Join(b.home, file))); got != "max" {
			t.Errorf("%s is %s in %s, which is the container's", file, got, b.home)
		}
	}
	owners := map[string]int{b.home: b.owner, b.home + "/cgroup.procs": b.owner, b.home + "/pids.max": 0}
	if b.home != b.limits {
		owners[b.limits], owners[b.limits+"/cgroup.procs"] = 0, 0
	}
	for file, want := range owners {
		var st unix.Stat_t
		must(t, unix.Stat(file, &st))
		if int(st.Uid) != want {
			t.Errorf("%s belongs to %d, want %d", file, st.Uid, want)
		}
	}
	if b.unit != "" {
		checkUnit(b.Box, b.unit, "ActiveState=active", "ControlGroup="+b.Cgroup, "TasksMax=40")
	}
}

// checkCommands executes a second process, and checks which commands find both; then it deletes the
// container.
func (b *below) checkCommands(t *testing.T) {
	t.Helper()
	first, pidFile := b.State().Pid, filepath.Join(b.Dir, "pid")
	b.OK("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000")
	second, err := strconv.Atoi(read(t, pidFile))
	must(t, err)
	if in := cgroupDirectories(t, second)[""]; in != b.home {
		t.Errorf("exec: in %s, want %s", in, b.home)
	}
	var pids []int
	must(t, json.Unmarshal([]byte(b.OK("ps", "--format", "json", b.ID)), &pids))
	if !slices.Contains(pids, first) || !slices.Contains(pids, second) || len(pids) != 2 {
		t.Errorf("ps: %v, want %d and %d", pids, first, second)
	}
	var event struct {
		Data struct {
			Pids struct{ Current, Limit uint64 }
		}
	}
	must(t, json.Unmarshal([]byte(b.OK("events", "--stats", b.ID)), &event))
	if p := event.Data.Pids; p.Current != 2 || p.Limit != 40 {
		t.Errorf("stats: %+v", p)
	}
	b.OK("pause", b.ID)
	b.Status("paused")
	b.OK("resume", b.ID)
	b.OK("update", "--pids-limit", "30", b.ID)
	if got := strings.TrimSpace(read(t, filepath.Join(b.limits, "pids.max"))); got != "30" {
		t.Errorf("update: pids.max is %s", got)
	}
	b.OK("kill", "--all", b.ID, "KILL")
	b.WaitGone(first)
	b.OK("delete", b.ID)
	b.CheckClean()
	if _, err := os.Stat(b.limits); err == nil {
		t.Errorf("%s is left", b.limits)
	}
}

// TestSubgroupUser: the same if a user's own systemd moves the processes.
func TestSubgroupUser(t *testing.T) {
	for _, delegated := range []string{"", "mine"} {
		b, unit, ctl := asUser(t, writableCgroups, func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: limit(int64(40))}}
			s.Annotations = map[string]string{specconv.SystemdSubgroup: "sub", specconv.DelegateCgroup: delegated}
		}, harness.Args("sleep", "1000"))
		limits := filepath.Join(harness.CgroupMount(""), b.Cgroup, "sub")
		home := filepath.Join(limits, delegated)
		b.OK("run", "--detach", "--bundle", b.Bundle, b.ID)
		first := b.State().Pid
		if got := strings.TrimSpace(read(t, limits+"/pids.max")); got != "40" {
			t.Errorf("pids.max is %s", got)
		}
		pidFile := filepath.Join(b.Dir, "pid")
		b.OK("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000")
		second, err := strconv.Atoi(read(t, pidFile))
		must(t, err)
		for _, pid := range []int{first, second} {
			if in := cgroupDirectories(t, pid)[""]; in != home {
				t.Errorf("process %d is in %s, want %s", pid, in, home)
			}
		}
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
		if got := ctl("show", unit, "--property=LoadState"); got != "LoadState=not-found" {
			t.Errorf("unit: %s", got)
		}
	}
}

// TestSubgroupFound: an existing cgroup is unchanged after the end of a container that had its
// processes below.
func TestSubgroupFound(t *testing.T) {
	needCgroup2(t)
	b := newBelow(t, false, "", "mine", writableCgroups)
	must(t, os.MkdirAll(b.limits, 0o755))
	defer unix.Rmdir(b.limits)
	b.Create()
	b.checkCgroups(t)
	b.OK("delete", "--force", b.ID)
	if _, err := os.Stat(b.home); err == nil {
		t.Errorf("%s is left", b.home)
	}
	if given := read(t, b.limits+"/cgroup.subtree_control"); given != "\n" && given != "" {
		t.Errorf("what it gives to those below: %q", given)
	}
	must(t, os.Mkdir(b.home, 0o755))
	defer unix.Rmdir(b.home)
	b.Fails("already exists", "create", "--bundle", b.Bundle, b.ID)
}

// TestSubgroupFailedCreate: a create that fails in a late step leaves nothing.
func TestSubgroupFailedCreate(t *testing.T) {
	needCgroup2(t)
	for _, systemd := range []bool{false, true} {
		b := newBelow(t, systemd, map[bool]string{true: "sub"}[systemd], "mine", writableCgroups)
		b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
		b.Write()
		b.Fails("createRuntime", "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
		if systemd {
			checkNoUnit(b.Box, b.unit)
		}
	}
}

// TestSubgroupRefused: if the cgroups cannot be made, no container is created.
func TestSubgroupRefused(t *testing.T) {
	for _, c := range []struct {
		global           []string
		annotation, text string
	}{
		{nil, specconv.SystemdSubgroup, "needs a unit of systemd's"},
		{[]string{"--cgroup-manager", "disabled"}, specconv.SystemdSubgroup, "needs a unit of systemd's"},
		{[]string{"--cgroup-manager", "disabled"}, specconv.DelegateCgroup, "the container has no cgroup"},
		{nil, specconv.DelegateCgroup, "needs a host whose controllers are all on cgroup2"},
	} {
		if c.global == nil && c.annotation == specconv.DelegateCgroup && harness.CgroupMount("memory") == "" {
			continue // this host is one
		}
		harness.OrlopOnly(t, "the annotations are crun's")
		b := harness.New(t)
		b.Global = c.global
		b.Spec.Annotations = map[string]string{c.annotation: "sub"}
		b.Write()
		b.Fails(`annotations["`+c.annotation+`"]: `+c.text, "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	}
}
