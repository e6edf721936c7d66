package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// A ground is the situation before a container is made: its cgroup in some state, a process of the
// host, and another container.
type ground struct {
	t           *testing.T
	box         *harness.Box // of the container to be made
	other       *harness.Box
	first       int      // the other container's first process
	host        int      // a process of the host; 0 for none
	directories []string // of the cgroup, one in each hierarchy
}

// lay makes a ground. If the container's PID namespace is not new, the other one shares the host's,
// so that it is found by its cgroup.
func lay(t *testing.T, pid string, otherCgroup func(own string) string) *ground {
	g := &ground{t: t, box: harness.New(t), other: harness.New(t)}
	if pid == "host" {
		harness.WithoutNamespace("pid")(g.other.Spec)
	}
	if otherCgroup != nil {
		g.other.Spec.Linux.CgroupsPath = otherCgroup(g.box.Cgroup)
	}
	g.first = g.other.Up()
	switch pid {
	case "host":
		harness.WithoutNamespace("pid")(g.box.Spec)
	case "joined":
		for i := range g.box.Spec.Linux.Namespaces {
			if n := &g.box.Spec.Linux.Namespaces[i]; n.Type == specs.PIDNamespace {
				n.Path = fmt.Sprintf("/proc/%d/ns/pid", g.first)
			}
		}
	}
	for _, mount := range cgroupMounts(t) {
		g.directories = append(g.directories, filepath.Join(mount, g.box.Cgroup))
	}
	return g
}

// limitFiles are files with limits of the ground's containers, and their initial content.
var limitFiles = [][2]string{
	{"pids.max", "77"}, {"cpu.shares", "300"}, {"cpu.cfs_period_us", "50000"}, {"cpu.cfs_quota_us", "40000"}, {"memory.soft_limit_in_bytes", "99999744"},
	{"memory.swappiness", "33"}, {"memory.limit_in_bytes", "199999488"}, {"memory.oom_control", "1"}, {"cpuset.cpus", "0"},
	{"devices.deny", "a"}, {"devices.allow", "c 1:3 rwm"}, {"devices.allow", "c 1:5 r"}, {"blkio.throttle.read_bps_device", "7:0 4096"},
	{"cpu.weight", "55"}, {"cpu.max", "40000 50000"}, {"memory.max", "199999488"}, {"memory.low", "99999744"}, {"io.max", "7:0 rbps=4096"},
}

// limits returns other limits.
func limits() *specs.LinuxResources {
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Major: limit(int64(10)), Minor: limit(int64(229)), Access: "rw"}},
		Pids:    &specs.LinuxPids{Limit: limit(int64(40))},
		CPU:     &specs.LinuxCPU{Shares: limit(uint64(512)), Quota: limit(int64(12345)), Period: limit(uint64(100000)), Cpus: "0-1"},
		Memory:  &specs.LinuxMemory{Limit: limit(int64(64 << 20)), Reservation: limit(int64(32 << 20))},
	}
}

// makeCgroup makes the cgroup with limits, as an administrator would.
func (g *ground) makeCgroup() {
	g.t.Helper()
	if root := harness.CgroupMount(""); root != "" && harness.CgroupMount("memory") == "" {
		// Enable all available controllers.
		for _, dir := range []string{root, filepath.Join(root, harness.CgroupParent())} {
			os.Mkdir(dir, 0o755)
			for controller := range strings.FieldsSeq(read(g.t, dir+"/cgroup.controllers")) {
				os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+controller), 0)
			}
		}
	}
	for _, directory := range g.directories {
		must(g.t, os.MkdirAll(directory, 0o755))
		// The parents' may be empty, too.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			for _, dir := range []string{filepath.Dir(directory), directory} {
				if data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil {
					os.WriteFile(filepath.Join(dir, file), data, 0)
				}
			}
		}
		for _, l := range limitFiles {
			os.WriteFile(filepath.Join(directory, l[0]), []byte(l[1]), 0) // where it exists
		}
		if err := os.Mkdir(filepath.Join(directory, "kept"), 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
	g.t.Cleanup(g.removeCgroup)
}

func (g *ground) removeCgroup() {
	for _, directory := range g.directories {
		os.Remove(filepath.Join(directory, "kept"))
		if err := os.Remove(directory); err != nil && !errors.Is(err, os.ErrNotExist) {
			g.t.Error(err)
		}
	}
}

// moveHost starts a process of the host, and moves it into the cgroup.
func (g *ground) moveHost() {
	g.t.Helper()
	cmd := exec.Command("sleep", "1000")
	must(g.t, harness.StartOther(cmd))
	g.t.Cleanup(func() {
		cmd.Process.Kill()
		harness.WaitOther(cmd)
	})
	g.host = cmd.Process.Pid
	for _, directory := range g.directories {
		must(g.t, os.WriteFile(filepath.Join(directory, "cgroup.procs"), []byte(strconv.Itoa(g.host)), 0))
	}
}

// freeze freezes the cgroup.
func (g *ground) freeze() {
	for _, directory := range g.directories {
		os.WriteFile(filepath.Join(directory, "freezer.state"), []byte("FROZEN"), 0)
		os.WriteFile(filepath.Join(directory, "cgroup.freeze"), []byte("1"), 0)
	}
	g.t.Cleanup(func() {
		for _, directory := range g.directories {
			os.WriteFile(filepath.Join(directory, "freezer.state"), []byte("THAWED"), 0)
		}
	})
}

// picture returns everything that must stay: the directories, their limits, owners, attributes, and
// what is below.
func (g *ground) picture() map[string]string {
	g.t.Helper()
	seen := map[string]string{}
	for _, directory := range g.directories {
		var st unix.Stat_t
		if unix.Stat(directory, &st) != nil {
			seen[directory] = "missing"
			continue
		}
		names := make([]byte, 4096)
		n, _ := unix.Listxattr(directory, names)
		seen[directory] = fmt.Sprintf("user %d, attributes %q", st.Uid, names[:max(n, 0)])
		for _, file := range []string{"pids.max", "cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.soft_limit_in_bytes", "memory.swappiness",
			"memory.limit_in_bytes", "memory.oom_control", "cpuset.cpus", "cpuset.mems", "devices.list", "blkio.throttle.read_bps_device", "cpu.weight",
			"cpu.max", "memory.max", "memory.low", "io.max", "freezer.state", "cgroup.freeze"} {
			if data, err := os.ReadFile(filepath.Join(directory, file)); err == nil {
				seen[filepath.Join(directory, file)] = string(data)
			}
		}
		entries, err := os.ReadDir(directory)
		must(g.t, err)
		for _, e := range entries {
			if e.IsDir() {
				seen[filepath.Join(directory, e.Name())] = "below"
			}
		}
	}
	return seen
}

// own lists the processes of the new container.
func (g *ground) own() []int { return pidsOf(g.box) }

// pidsOf lists the processes of a box's container.
func pidsOf(b *harness.Box) (pids []int) {
	b.T.Helper()
	if err := json.Unmarshal([]byte(b.OK("ps", "--format", "json", b.ID)), &pids); err != nil {
		b.T.Fatal(err)
	}
	return pids
}

// untouched fails the test if anything of others has changed.
func (g *ground) untouched(before map[string]string) {
	g.t.Helper()
	if after := g.picture(); !maps.Equal(before, after) {
		for _, key := range slices.Sorted(maps.Keys(before)) {
			if after[key] != before[key] {
				g.t.Errorf("%s: %q was %q", key, after[key], before[key])
			}
		}
		for key := range after {
			if _, ok := before[key]; !ok {
				g.t.Errorf("%s: %q was not there", key, after[key])
			}
		}
	}
	if s := g.other.State(); s.Status != specs.StateRunning || s.Pid != g.first {
		g.t.Errorf("the other container is now %+v", s)
	}
	if g.host != 0 && unix.Kill(g.host, 0) != nil {
		g.t.Error("the host's process has ended")
	}
}

// endings are the possible ends of a container. Each leaves nothing of it.
//
// long: a table
func endings() map[string]func(g *ground) {
	up := func(g *ground) []int { // with three processes
		harness.Sh("trap 'kill 0; exit' TERM; sleep 1000 & sleep 1000 & echo up; while :; do wait; done")(g.box.Spec)
		g.box.Write()
		lines := g.box.Create()
		g.box.OK("start", g.box.ID)
		if line := lines.Next(); line != "up" {
			g.t.Fatalf("got %q", line)
		}
		return g.own()
	}
	gone := func(g *ground, pids []int) {
		g.t.Helper()
		if len(pids) < 2 {
			g.t.Errorf("own processes: %v", pids)
		}
		for _, pid := range pids {
			g.box.WaitGone(pid)
		}
	}
	fails := func(change func(*specs.Spec), text string, command ...string) func(g *ground) {
		return func(g *ground) {
			change(g.box.Spec)
			g.box.Write()
			g.box.Fails(text, append(command, "--bundle", g.box.Bundle, g.box.ID)...)
		}
	}
	return map[string]func(g *ground){
		"create, bad limit": fails(func(s *specs.Spec) {
			if s.Linux.Resources == nil {
				s.Linux.Resources = &specs.LinuxResources{}
			}
			s.Linux.Resources.BlockIO = &specs.LinuxBlockIO{LeafWeight: limit(uint16(100))}
		}, "linux.resources.blockIO.leafWeight", "create"),
		"create, bad mount": fails(func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/nowhere", Type: "nosuchfs", Source: "none"})
		}, "nosuchfs", "create"),
		"create, bad hook": fails(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 3"}}}}
		}, "exit status 3", "create"),
		"run, no program": fails(func(s *specs.Spec) { s.Process.Args = []string{"/nowhere"} }, "/nowhere", "run"),
		"run": func(g *ground) {
			harness.Sh("sleep 1000 & sleep 1000 & exit 0")(g.box.Spec)
			g.box.Write()
			g.box.OK("run", "--bundle", g.box.Bundle, g.box.ID)
		},
		"kill TERM": func(g *ground) {
			pids := up(g)
			first := g.box.State().Pid
			g.box.OK("kill", g.box.ID, "TERM")
			g.box.WaitGone(first)
			g.box.OK("delete", g.box.ID)
			gone(g, pids)
		},
		"kill KILL": func(g *ground) {
			pids := up(g)
			g.box.OK("kill", g.box.ID, "KILL")
			gone(g, pids)
			g.box.OK("delete", g.box.ID)
		},
		"kill --all": func(g *ground) {
			pids := up(g)
			g.box.OK("kill", "--all", g.box.ID, "KILL")
			gone(g, pids)
			g.box.OK("delete", g.box.ID)
		},
		"kill after the first": func(g *ground) {
			pids := up(g)
			first := g.box.State().Pid
			must(g.t, unix.Kill(first, unix.SIGKILL))
			g.box.WaitGone(first)
			if len(g.own()) > 0 { // otherwise they have exited with their PID namespace
				g.box.OK("kill", g.box.ID, "KILL")
			}
			gone(g, pids)
			g.box.OK("delete", g.box.ID)
		},
		"delete after the first": func(g *ground) {
			pids := up(g)
			first := g.box.State().Pid
			must(g.t, unix.Kill(first, unix.SIGKILL))
			g.box.WaitGone(first)
			g.box.OK("delete", g.box.ID)
			gone(g, pids)
		},
		"delete --force": func(g *ground) {
			pids := up(g)
			g.box.OK("delete", "--force", g.box.ID)
			gone(g, pids)
		},
		"delete --force, paused": func(g *ground) {
			pids := up(g)
			g.box.OK("pause", g.box.ID)
			g.box.OK("delete", "--force", g.box.ID)
			gone(g, pids)
		},
		"delete --force, created": func(g *ground) {
			g.box.Write()
			g.box.OK("create", "--bundle", g.box.Bundle, g.box.ID)
			g.box.OK("delete", "--force", g.box.ID)
		},
		"exec below, delete --force": func(g *ground) {
			pids := up(g)
			var made []string
			for _, mount := range cgroupMounts(g.t) {
				dir := filepath.Join(mount, g.box.Spec.Linux.CgroupsPath, "sub")
				must(g.t, os.Mkdir(dir, 0o755))
				made = append(made, dir)
				for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
					if data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil {
						os.WriteFile(filepath.Join(dir, file), data, 0)
					}
				}
			}
			// Otherwise the container's own cgroup has processes, and the controllers are not
			// passed on.
			if harness.CgroupMount("memory") != "" {
				g.box.OK("exec", "--detach", "--cgroup", "sub", g.box.ID, "sleep", "1000")
				if more := g.own(); len(more) != len(pids)+1 {
					g.t.Errorf("with exec: %v, without %v", more, pids)
				} else {
					pids = more
				}
			}
			g.box.OK("delete", "--force", g.box.ID)
			gone(g, pids)
			for _, dir := range made {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					g.t.Errorf("%s: %v", dir, err)
				}
			}
		},
	}
}

// TestCgroupOwnership: for any cgroup and PID namespace before a container, and any end of the
// container, the processes of others survive, its own do not, and everything from before is
// unchanged.
func TestCgroupOwnership(t *testing.T) {
	harness.OrlopOnly(t, "others end what is not theirs, and remove what they have not made")
	ways := endings()
	for i, pid := range []string{"new", "joined", "host"} {
		for j, place := range []string{"new", "empty", "below another container's"} {
			for k, name := range slices.Sorted(maps.Keys(ways)) {
				if testing.Short() && (i+j+k)%3 != 0 {
					continue // each ending occurs with each PID namespace, and in each cgroup
				}
				way := ways[name]
				t.Run(pid+" PID namespace, "+place+" cgroup, "+name, func(t *testing.T) {
					g := lay(t, pid, nil)
					g.box.Spec.Linux.Resources = limits()
					switch place {
					case "empty":
						g.makeCgroup()
					case "below another container's":
						g.box.Spec.Linux.CgroupsPath = filepath.Join(g.other.Cgroup, "sub")
						for i, mount := range cgroupMounts(t) {
							g.directories[i] = filepath.Join(mount, g.other.Cgroup)
						}
						// The cgroup above does not have these.
						g.box.Spec.Linux.Resources.Devices = nil
						// A cgroup2 with processes does not enable controllers.
						if harness.CgroupMount("memory") == "" {
							g.box.Spec.Linux.Resources = nil
						}
					}
					before := g.picture()
					way(g)
					g.untouched(before)
					if place == "empty" {
						g.removeCgroup()
					}
					g.box.CheckClean()
				})
			}
		}
	}
}

// TestCgroupInUse: a container is refused a cgroup that would not be its own alone, before anything
// is changed.
func TestCgroupInUse(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 does not look, later ones do in one hierarchy")
	const notEmpty = "container's cgroup is not empty"
	for name, c := range map[string]struct {
		other func(own string) string // the other container's cgroup
		make  func(g *ground)
		want  string
	}{
		"a process of the host's": {nil, func(g *ground) { g.makeCgroup(); g.moveHost() }, notEmpty},
		"another container":       {func(own string) string { return own }, func(*ground) {}, notEmpty},
		"above another container": {func(own string) string { return own + "/other" }, func(*ground) {}, notEmpty},
		"frozen":                  {nil, func(g *ground) { g.makeCgroup(); g.freeze() }, "container paused"},
	} {
		for _, pid := range []string{"new", "joined", "host"} {
			t.Run(name+", "+pid+" PID namespace", func(t *testing.T) {
				g := lay(t, pid, c.other)
				c.make(g)
				g.box.Spec.Linux.Resources = limits()
				g.box.Write()
				before := g.picture()
				for _, command := range []string{"create", "run"} {
					r := g.box.Fails(c.want, command, "--bundle", g.box.Bundle, g.box.ID)
					if !strings.Contains(r.Stderr, "linux.cgroupsPath") {
						t.Errorf("the field is not named: %s", r.Stderr)
					}
					if r := g.box.Do("check", "--bundle", g.box.Bundle); r.Status == 0 || !strings.Contains(r.Stdout+r.Stderr, c.want) {
						t.Errorf("check: %+v", r)
					}
					g.untouched(before)
				}
				g.other.OK("delete", "--force", g.other.ID)
				if c.other != nil {
					g.removeCgroup() // only removes what lay added above the other container's
				}
			})
		}
	}
}

// TestCgroupOfStopped: the cgroup of a stopped container still belongs to that container, until it
// is deleted or its state is lost.
func TestCgroupOfStopped(t *testing.T) {
	harness.OrlopOnly(t, "runc does not look")
	g := lay(t, "host", func(own string) string { return own })
	others := pidsOf(g.other)
	g.other.OK("kill", g.other.ID, "KILL")
	for _, pid := range others {
		g.other.WaitGone(pid)
	}
	g.box.Spec.Process.Args = []string{"sleep", "1000"}
	g.box.Write()
	r := g.box.Fails("linux.cgroupsPath", "create", "--bundle", g.box.Bundle, g.box.ID)
	if !strings.Contains(r.Stderr, g.other.ID) {
		t.Errorf("the other container is not named: %s", r.Stderr)
	}
	must(t, os.Rename(filepath.Join(g.other.Root, g.other.ID), filepath.Join(g.other.Dir, "lost")))
	g.box.OK("create", "--bundle", g.box.Bundle, g.box.ID)
	// It returns, and finds that its cgroup belongs to another container.
	must(t, os.Rename(filepath.Join(g.other.Dir, "lost"), filepath.Join(g.other.Root, g.other.ID)))
	g.other.Fails("container not running", "kill", g.other.ID, "KILL")
	g.other.OK("delete", "--force", g.other.ID)
	g.box.Status("created")
	g.box.OK("delete", "--force", g.box.ID)
	g.t.Cleanup(g.removeCgroup)
}

// TestCgroupAbove: the end of a container does not affect other containers whose cgroups are below
// its own.
func TestCgroupAbove(t *testing.T) {
	harness.OrlopOnly(t, "others end them")
	for _, command := range [][]string{{"kill", "ID", "KILL"}, {"kill", "--all", "ID", "KILL"}, {"delete", "--force", "ID"}} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			g := lay(t, "host", func(own string) string { return own })
			g.box.Spec.Linux.CgroupsPath = g.other.Spec.Linux.CgroupsPath + "/sub"
			g.box.Spec.Linux.Resources = nil
			first := g.box.Up()
			args := slices.Clone(command)
			args[slices.Index(args, "ID")] = g.other.ID
			g.other.OK(args...)
			g.other.WaitGone(g.first)
			if command[0] == "kill" {
				g.other.OK("delete", g.other.ID)
			}
			if s := g.box.State(); s.Status != specs.StateRunning || s.Pid != first {
				t.Errorf("the container below is now %+v", s)
			}
			g.box.OK("delete", "--force", g.box.ID)
			for _, directory := range g.directories { // it could not be removed before
				if err := os.Remove(directory); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestForgedMark: a container that may write in its cgroup cannot give a part of it to another
// container. Attributes that an ordinary user can set there do not count; with the mark that only
// the runtime can set, the part belongs to the other one.
func TestForgedMark(t *testing.T) {
	harness.OrlopOnly(t, "others have no mark")
	const mark = "orlop.container"
	for space, forged := range map[string]bool{"user.": true, "trusted.": false} {
		t.Run(space, func(t *testing.T) {
			g := lay(t, "host", nil)
			first, others := children(t, g.box, 1, false)
			lead := g.directories[0]
			value := make([]byte, 4096)
			n := -1
			for i, mount := range cgroupMounts(t) {
				if size, err := unix.Getxattr(filepath.Join(mount, g.other.Cgroup), "trusted."+mark, value); err == nil {
					lead, n = g.directories[i], size
				}
			}
			if n < 0 {
				t.Fatal("the other container's cgroup has no mark")
			}
			for _, directory := range g.directories {
				must(t, os.Mkdir(directory+"/sub", 0o755))
				for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
					if data, err := os.ReadFile(directory + file); err == nil && len(data) > 1 {
						must(t, os.WriteFile(directory+"/sub"+file, data, 0))
					}
				}
				must(t, os.WriteFile(directory+"/sub/cgroup.procs", []byte(strconv.Itoa(others[0])), 0))
			}
			if err := unix.Setxattr(lead+"/sub", space+mark, value[:n], 0); err != nil {
				t.Skip("no such attributes on cgroups: ", err)
			}
			g.box.OK("delete", "--force", g.box.ID)
			g.box.WaitGone(first)
			if forged {
				g.box.WaitGone(others[0])
				g.box.CheckClean()
				return
			}
			must(t, unix.Kill(others[0], 0))
			must(t, unix.Kill(others[0], unix.SIGKILL))
			g.box.WaitGone(others[0])
			for _, directory := range g.directories {
				must(t, os.Remove(directory+"/sub"))
				must(t, os.Remove(directory))
			}
		})
	}
}

// TestMovedIn: a process that is moved into a container's cgroup by hand is killed with the
// container if only the cgroup identifies the container's processes, and survives if the container
// has a PID namespace of its own.
func TestMovedIn(t *testing.T) {
	harness.OrlopOnly(t, "runc's delete fails")
	for pid, survives := range map[string]bool{"new": true, "host": false} {
		t.Run(pid, func(t *testing.T) {
			g := lay(t, pid, nil)
			g.box.Up()
			g.moveHost()
			r := g.box.Do("delete", "--force", g.box.ID)
			r.OK(g.box)
			if !survives {
				g.box.WaitGone(g.host)
				return
			}
			if !strings.Contains(r.Stderr, "not the container's") {
				t.Errorf("no warning: %q", r.Stderr)
			}
			must(t, unix.Kill(g.host, 0))
			must(t, unix.Kill(g.host, unix.SIGKILL))
			g.box.WaitGone(g.host)
			g.removeCgroup()
		})
	}
}

// TestCgroupRace: of two containers that are created in one cgroup at once, one is created.
func TestCgroupRace(t *testing.T) {
	harness.OrlopOnly(t, "runc does not look")
	for _, place := range []string{"new", "empty"} {
		for _, pid := range []string{"new", "host"} {
			t.Run(place+" cgroup, "+pid+" PID namespace", func(t *testing.T) {
				boxes := []*harness.Box{harness.New(t), harness.New(t)}
				g := &ground{t: t, box: boxes[0]}
				for _, mount := range cgroupMounts(t) {
					g.directories = append(g.directories, filepath.Join(mount, g.box.Cgroup))
				}
				for _, b := range boxes {
					b.Spec.Linux.CgroupsPath = g.box.Cgroup
					b.Spec.Process.Args = []string{"sleep", "1000"}
					b.Spec.Linux.Resources = limits()
					if pid == "host" {
						harness.WithoutNamespace("pid")(b.Spec)
					}
					b.Write()
				}
				if place == "empty" {
					g.makeCgroup()
				}
				before := g.picture()
				for range raceRounds() {
					var results [2]harness.Result
					var done sync.WaitGroup
					for i, b := range boxes {
						done.Go(func() { results[i] = b.Do("create", "--bundle", b.Bundle, b.ID) })
					}
					done.Wait()
					won := 0
					for i, b := range boxes {
						if r := results[i]; r.Status == 0 {
							won++
							b.Status("created")
							b.OK("delete", "--force", b.ID)
						} else if !strings.Contains(r.Stderr, "linux.cgroupsPath") {
							t.Errorf("the loser: %s", r.Stderr)
						}
					}
					if won != 1 {
						t.Errorf("%d have won: %q, %q", won, results[0].Stderr, results[1].Stderr)
					}
					if after := g.picture(); !maps.Equal(before, after) {
						t.Errorf("it was %v and is %v", before, after)
					}
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

func raceRounds() int {
	if testing.Short() {
		return 5
	}
	return 25
}

// TestKillDeep: cgroups that the container has nested deeper than the longest path keep nothing
// alive, and are removed with it.
func TestKillDeep(t *testing.T) {
	harness.OrlopOnly(t, "others leave them")
	for _, command := range [][]string{{"kill", "ID", "KILL"}, {"delete", "--force", "ID"}, {"delete", "ID"}} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			b := harness.New(t)
			first, others := children(t, b, 2, command[len(command)-2] == "delete")
			mount, tasks := harness.CgroupMount("pids"), "tasks"
			if mount == "" {
				mount, tasks = harness.CgroupMount(""), "cgroup.procs"
			}
			dir, err := unix.Open(filepath.Join(mount, b.Cgroup), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, err)
			for range 2 * unix.PathMax / 200 {
				name := strings.Repeat("x", 200)
				must(t, unix.Mkdirat(dir, name, 0o755))
				below, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				must(t, err)
				unix.Close(dir)
				dir = below
			}
			file, err := unix.Openat(dir, tasks, unix.O_WRONLY|unix.O_CLOEXEC, 0)
			must(t, err)
			unix.Close(dir)
			_, err = unix.Write(file, []byte(strconv.Itoa(others[1])))
			unix.Close(file)
			must(t, err)
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
