package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
	"github.com/orlop/orlop/tests/resctrl"
)

// An rdt is an imitation of a resctrl filesystem, and the means by which runtimes use it.
type rdt struct {
	t    *testing.T
	dir  string
	wrap []string
}

// newRDT mounts one for a test. It is called before the test's boxes are made, so that it exists
// when their containers are deleted.
func newRDT(t *testing.T) *rdt {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	harness.OrlopOnly(t, "older runtimes know less of linux.intelRdt")
	dir := t.TempDir()
	r := &rdt{t, filepath.Join(dir, "resctrl"), resctrl.Show(filepath.Join(dir, "mountinfo"))}
	must(t, os.Mkdir(r.dir, 0o755))
	resctrl.Mount(t, r.dir)
	resctrl.MountInfo(t, r.dir, filepath.Join(dir, "mountinfo"))
	return r
}

func (r *rdt) cmd(b *harness.Box, args ...string) *harness.Command {
	c := b.Cmd(args...)
	c.Wrap = r.wrap
	return c
}

// create creates a container with a configuration of linux.intelRdt.
func (r *rdt) create(b *harness.Box, config specs.LinuxIntelRdt) harness.Result {
	b.T.Helper()
	b.Spec.Process.Args = []string{"sleep", "1000"}
	b.Spec.Linux.IntelRdt = &config
	b.Write()
	return r.cmd(b, "create", "--bundle", b.Bundle, b.ID).Run()
}

// has fails the test unless a group exists, or does not.
func (r *rdt) has(group string, want bool) {
	r.t.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, group)); errors.Is(err, os.ErrNotExist) == want {
		r.t.Errorf("group %s: %v, want that it is there: %v", group, err, want)
	}
}

// in fails the test unless a process is in a group.
func (r *rdt) in(group string, pid int) {
	r.t.Helper()
	if tasks := "\n" + read(r.t, filepath.Join(r.dir, group, "tasks")); !strings.Contains(tasks, "\n"+strconv.Itoa(pid)+"\n") {
		r.t.Errorf("process %d is not in the group %s: %q", pid, group, tasks)
	}
}

// joined fails the test unless this number of processes have joined a group, whether they still
// exist or not. The kernel has their children in the group, too; this imitation does not know them.
func (r *rdt) joined(group string, want int) {
	r.t.Helper()
	if tasks := strings.Fields(read(r.t, filepath.Join(r.dir, group, "joined"))); len(tasks) != want {
		r.t.Errorf("%d processes have joined the group %s, want %d: %q", len(tasks), group, want, tasks)
	}
}

// schemata fails the test unless a group's schemata contains a text.
func (r *rdt) schemata(group, want string) {
	r.t.Helper()
	if got := read(r.t, filepath.Join(r.dir, group, "schemata")); !strings.Contains(got, want) {
		r.t.Errorf("schemata of %s:\n%s", group, got)
	}
}

// TestIntelRDT: a container in groups of its own, with every feature: its processes are in them,
// its share can be changed, and it works without when the groups are removed.
func TestIntelRDT(t *testing.T) {
	r := newRDT(t)
	b := harness.New(t)
	r.create(b, specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:1=30", Schemata: []string{"L3:1=ff0"}, EnableMonitoring: true}).OK(b)
	monitor := b.ID + "/mon_groups/" + b.ID
	pid := b.State().Pid
	r.in(b.ID, pid)
	r.in(monitor, pid)
	r.schemata(b.ID, "    L3:0=00f;1=ff0\n    MB:0=100;1= 30\n")
	b.OK("start", b.ID)
	b.OK("exec", "--detach", b.ID, "sleep", "1000")
	r.joined(b.ID, 2)
	r.joined(monitor, 2)
	r.cmd(b, "update", "--l3-cache-schema", "L3:1=3", "--mem-bw-schema", "MB:0=55", b.ID).Run().OK(b)
	r.schemata(b.ID, "    L3:0=00f;1=003\n    MB:0= 60;1= 30\n")
	r.cmd(b, "update", "--l3-cache-schema", "L3:1=30", "--pids-limit", "50", b.ID).Run().OK(b)
	r.schemata(b.ID, "    L3:0=00f;1=030\n")
	r.cmd(b, "update", "--l3-cache-schema", "L3:9=30", b.ID).Run().Fails(b, "schemata: invalid argument: Unknown domain 9")
	r.cmd(b, "update", "--mem-bw-schema", "L3:9=30", b.ID).Run().Fails(b, "linux.intelRdt.memBwSchema: must start with MB:")
	var event struct {
		Data struct {
			RDT struct {
				Schema    string           `json:"l3_cache_schema"`
				Root      string           `json:"mem_bw_schema_root"`
				Occupancy []map[string]int `json:"cmt_stats"`
			} `json:"intel_rdt"`
		} `json:"data"`
	}
	must(t, json.Unmarshal([]byte(r.cmd(b, "events", "--stats", b.ID).Run().OK(b)), &event))
	if s := event.Data.RDT; s.Schema != "L3:0=00f;1=030" || s.Root != "MB:0=100;1=100" || len(s.Occupancy) != 2 || s.Occupancy[1]["llc_occupancy"] != 1001 {
		t.Errorf("events: %+v", event)
	}
	b.OK("events", "--stats", b.ID) // which finds no resctrl
	must(t, os.Remove(filepath.Join(r.dir, monitor)))
	must(t, os.Remove(filepath.Join(r.dir, b.ID)))
	r.cmd(b, "events", "--stats", b.ID).Run().OK(b)
	r.cmd(b, "exec", b.ID, "true").Run().OK(b)
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}

// TestIntelRDTNamed: a group that the configuration names is made, shared with containers that
// request the same, and outlives the containers.
func TestIntelRDTNamed(t *testing.T) {
	r := newRDT(t)
	first, second := harness.New(t), harness.New(t)
	gold := specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f0", EnableMonitoring: true}
	r.create(first, gold).OK(first)
	r.create(second, gold).OK(second)
	for _, b := range []*harness.Box{first, second} {
		pid := b.State().Pid
		r.in("gold", pid)
		r.in("gold/mon_groups/"+b.ID, pid)
	}
	second.OK("delete", "--force", second.ID)
	r.has("gold/mon_groups/"+second.ID, false)
	r.create(second, specs.LinuxIntelRdt{MemBwSchema: "MB:0=50", EnableMonitoring: true}).OK(second)
	r.has(second.ID+"/mon_groups/"+second.ID, true)
	second.OK("delete", "--force", second.ID)
	r.has(second.ID, false)
	r.has("gold/mon_groups/"+first.ID, true)
	r.create(second, specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f"}).Fails(second,
		"linux.intelRdt.l3CacheSchema: is L3:0=f, but the existing group "+r.dir+"/gold has L3:0=0f0")
	second.CheckClean()
	r.create(second, specs.LinuxIntelRdt{ClosID: "silver"}).Fails(second, "linux.intelRdt.closID: there is no group "+r.dir+"/silver")
	second.CheckClean()
	r.has("silver", false)
	first.OK("delete", "--force", first.ID)
	r.has("gold", true)
	r.create(first, specs.LinuxIntelRdt{ClosID: "/"}).OK(first)
	r.in(".", first.State().Pid)
	first.OK("delete", "--force", first.ID)
	r.has(".", true)
}

// TestIntelRDTFailure: groups of a failed container are removed.
func TestIntelRDTFailure(t *testing.T) {
	needBusybox(t)
	for name, tt := range map[string]struct {
		config specs.LinuxIntelRdt
		change func(*specs.Spec)
		text   string
	}{
		"refused":             {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=0"}, nil, "schemata: invalid argument: The mask 0 is not one of a run of bits"},
		"refused and named":   {specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L2:0=f"}}, nil, "Unknown or unsupported resource name 'L2'"},
		"a hook":              {specs.LinuxIntelRdt{EnableMonitoring: true}, hook("createRuntime"), "hooks.createRuntime[0]"},
		"a hook, and named":   {specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=50", EnableMonitoring: true}, hook("createRuntime"), "hooks.createRuntime[0]"},
		"without a namespace": {specs.LinuxIntelRdt{}, func(s *specs.Spec) { harness.WithNamespace("network", "/etc/passwd")(s) }, "linux.namespaces["},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRDT(t)
			b := harness.New(t)
			if tt.change != nil {
				tt.change(b.Spec)
			}
			r.create(b, tt.config).Fails(b, tt.text)
			r.has(b.ID, false)
			r.has("gold", false)
			b.CheckClean()
		})
	}
}

// TestIntelRDTKilled: delete removes what a killed create has made.
func TestIntelRDTKilled(t *testing.T) {
	needBusybox(t)
	r := newRDT(t)
	b := harness.New(t)
	addHook(b, "createRuntime", "exec sleep 1000")
	b.Spec.Linux.IntelRdt = &specs.LinuxIntelRdt{EnableMonitoring: true}
	b.Write()
	p := r.cmd(b, "create", "--bundle", b.Bundle, b.ID).Start()
	sleep := childOf(t, p.Pid, "sleep")
	r.has(b.ID+"/mon_groups/"+b.ID, true)
	p.Signal(unix.SIGKILL)
	p.Wait()
	b.WaitGone(sleep) // it exits with the runtime
	b.OK("delete", "--force", b.ID)
	r.has(b.ID, false)
	b.CheckClean()
}

// TestIntelRDTMissing: a host without resctrl, and a container without a group.
func TestIntelRDTMissing(t *testing.T) {
	if data, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(data), " - resctrl ") {
		t.Skipf("this host has a resctrl filesystem (%v)", err)
	}
	harness.OrlopOnly(t, "the text is orlop's")
	b := harness.New(t)
	b.Up()
	b.Fails("container has no Intel RDT group: it was created without linux.intelRdt", "update", "--l3-cache-schema", "L3:0=f", b.ID)
	b.OK("delete", "--force", b.ID)
	b.Run(func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"} }).Fails(b,
		"linux.intelRdt: this host has no resctrl filesystem mounted")
	b.CheckClean()
}
