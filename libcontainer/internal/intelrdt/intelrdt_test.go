package intelrdt

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/resctrl"
)

// fake mounts an imitation of a resctrl filesystem for this test.
func fake(t *testing.T) (root string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the mount namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	resctrl.Mount(t, root)
	return root
}

func read1(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sleeper starts a process that can be moved.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func unchanged() error { return errors.New("nothing has changed") }

// made plans and makes the groups of a container.
func made(t *testing.T, root, id string, config *specs.LinuxIntelRdt) *Group {
	t.Helper()
	g, err := plan(root, id, config)
	if err == nil {
		err = g.Make(unchanged)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestOwnGroup: without closID the group is named after the container, which owns both it and the
// monitoring group.
func TestOwnGroup(t *testing.T) {
	root := fake(t)
	g := made(t, root, "box", &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:1=30", Schemata: []string{"L3:1=ff0", "MB:1=50"}, EnableMonitoring: true})
	if g.Dir != root+"/box" || g.Monitor != root+"/box/mon_groups/box" || !g.Owned() {
		t.Errorf("%+v", g)
	}
	if got := read1(t, g.Dir+"/schemata"); got != "    L3:0=00f;1=ff0\n    MB:0=100;1= 50\n" {
		t.Errorf("schemata:\n%s", got)
	}
	pid := sleeper(t)
	if err := g.Join(pid); err != nil {
		t.Fatal(err)
	}
	for _, dir := range g.Directories() {
		if got := read1(t, dir+"/tasks"); got != strconv.Itoa(pid)+"\n" {
			t.Errorf("%s: tasks %q", dir, got)
		}
	}
	if err := errors.Join(Remove(g.Monitor), Remove(g.Dir), Remove(g.Dir)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.Dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}

// TestNothingConfigured: a group is made, and no schemata is written.
func TestNothingConfigured(t *testing.T) {
	root := fake(t)
	g := made(t, root, "box", &specs.LinuxIntelRdt{})
	if got := read1(t, g.Dir+"/schemata"); !strings.Contains(got, "L3:0=fff;1=fff") {
		t.Errorf("schemata:\n%s", got)
	}
	// If it existed before, it is used, and does not belong to the container.
	g = made(t, root, "box", &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=3"})
	if g.New || g.Owned() || !strings.Contains(read1(t, g.Dir+"/schemata"), "L3:0=003") {
		t.Errorf("%+v", g)
	}
}

// TestClosID: groups that the configuration names are made, kept, shared and compared.
func TestClosID(t *testing.T) {
	root := fake(t)
	gold := &specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f;1=0xF0", MemBwSchema: "MB:0=50"}
	if g := made(t, root, "a", gold); !g.New || g.Owned() || g.Dir != root+"/gold" {
		t.Errorf("%+v", g)
	}
	// The same in another format; and without a setting.
	for _, same := range []*specs.LinuxIntelRdt{gold, {ClosID: "gold", L3CacheSchema: "L3:1=0f0;0=00f"}, {ClosID: "gold"}, {ClosID: "gold", MemBwSchema: "MB: 0=50;1=100"}} {
		if g := made(t, root, "b", same); g.New || g.Owned() {
			t.Errorf("%+v", g)
		}
	}
	// The schemata are written, the others only compared.
	made(t, root, "c", &specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"MB:1=70"}})
	if got := read1(t, root+"/gold/schemata"); got != "    L3:0=00f;1=0f0\n    MB:0= 50;1= 70\n" {
		t.Errorf("schemata:\n%s", got)
	}
	if g := made(t, root, "d", &specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}); g.Dir != root || g.Monitor != root+"/mon_groups/d" || g.Owned() {
		t.Errorf("%+v", g)
	}
	for want, config := range map[string]*specs.LinuxIntelRdt{
		"linux.intelRdt.l3CacheSchema: is L3:0=ff, but the existing group " + root + "/gold has L3:0=00f;1=0f0": {ClosID: "gold", L3CacheSchema: "L3:0=ff"},
		"linux.intelRdt.memBwSchema: is MB:2=50, but":                                                           {ClosID: "gold", MemBwSchema: "MB:2=50"},
		"linux.intelRdt.l3CacheSchema: is L2:0=f, but the existing group":                                       {ClosID: "gold", L3CacheSchema: "L2:0=f"},
		"linux.intelRdt.closID: there is no group " + root + "/silver, and":                                     {ClosID: "silver"},
		"linux.intelRdt.closID: " + root + "/info is not a control group":                                       {ClosID: "info"},
		"linux.intelRdt.closID: " + root + "/schemata is not a control group":                                   {ClosID: "schemata"},
		"write " + root + "/gold/schemata: invalid argument: Unknown domain 7":                                  {ClosID: "gold", Schemata: []string{"L3:7=f"}},
	} {
		g, err := plan(root, "e", config)
		if err == nil {
			err = g.Make(unchanged)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", config, err, want)
		}
	}
}

// TestUndo: a failed creation leaves the groups of others, and nothing else.
func TestUndo(t *testing.T) {
	root := fake(t)
	for name, config := range map[string]*specs.LinuxIntelRdt{
		"own":              {L3CacheSchema: "L3:0=1000", EnableMonitoring: true},
		"named":            {ClosID: "gold", L3CacheSchema: "L3:0=1000"},
		"two lines":        {ClosID: "gold", L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=0"},
		"unknown resource": {Schemata: []string{"XX:0=f"}},
	} {
		g, err := plan(root, "box", config)
		if err != nil {
			t.Fatal(err)
		}
		var refused *Error
		if err := g.Make(unchanged); !errors.As(err, &refused) || refused.Errno != unix.EINVAL || refused.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
		if err := g.Undo(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(g.Dir); !os.IsNotExist(err) {
			t.Errorf("%s: the group is still there: %v", name, err)
		}
	}
	first := made(t, root, "a", &specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=50"})
	second := made(t, root, "b", &specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=50", EnableMonitoring: true})
	if err := second.Join(sleeper(t)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Undo(), first.Undo()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root + "/gold"); err != nil {
		t.Error("the group is gone, with a process in it")
	}
	if _, err := os.Stat(second.Monitor); !os.IsNotExist(err) {
		t.Errorf("the monitoring group is still there: %v", err)
	}
}

// TestOthersMakeIt: another process makes a group between Plan and Make.
func TestOthersMakeIt(t *testing.T) {
	root := fake(t)
	g, err := plan(root, "box", &specs.LinuxIntelRdt{EnableMonitoring: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/box", "/box/mon_groups/box"} {
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	err = g.Make(func() error { told++; return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "linux.intelRdt.enableMonitoring: ") || told != 2 || g.Owned() || g.Monitor != "" {
		t.Errorf("%v, told %d times, %+v", err, told, g)
	}
	if err := g.Undo(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(root + "/box/mon_groups/box"); err != nil {
		t.Error(err)
	}
	if _, err := plan(root, "box", &specs.LinuxIntelRdt{EnableMonitoring: true}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a monitoring group that is there: %v", err)
	}
}

// TestTooMany: the machine only has classes for a limited number of groups.
func TestTooMany(t *testing.T) {
	root := fake(t)
	for i := range 5 {
		g, err := plan(root, strconv.Itoa(i), &specs.LinuxIntelRdt{})
		if err == nil {
			err = g.Make(unchanged)
		}
		if i < 3 && err != nil {
			t.Error(err)
		}
		if want := "linux.intelRdt: make the group " + g.Dir + ": no space left on device: Out of CLOSIDs"; i >= 3 && (err == nil || err.Error() != want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestUpdateAndStats(t *testing.T) {
	root := fake(t)
	g := made(t, root, "box", &specs.LinuxIntelRdt{EnableMonitoring: true})
	if err := writeSchemata(root, g.Dir, "L3:0=3f", "MB:0=20;1=20"); err != nil {
		t.Fatal(err)
	}
	if err := writeSchemata(root, g.Dir, "", ""); err != nil { // nothing
		t.Fatal(err)
	}
	s, err := read(root, g.Dir, g.Monitor)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"l3_cache_info":{"cbm_mask":"fff","min_cbm_bits":1,"num_closids":4},"l3_cache_schema_root":"L3:0=fff;1=fff","l3_cache_schema":"L3:0=03f;1=fff",` +
		`"mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":10,"num_closids":4},"mem_bw_schema_root":"MB:0=100;1=100","mem_bw_schema":"MB:0= 20;1= 20",` +
		`"mbm_stats":[{"mbm_total_bytes":2000,"mbm_local_bytes":1500},{"mbm_total_bytes":2001,"mbm_local_bytes":1501}],"cmt_stats":[{"llc_occupancy":1000},{"llc_occupancy":1001}]}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if s, err := read(root, g.Dir, ""); err != nil || s.CMTStats != nil || s.MBMStats != nil {
		t.Errorf("without monitoring: %+v, %v", s, err)
	}
	if _, err := read(root, filepath.Join(root, "absent"), ""); !os.IsNotExist(err) {
		t.Errorf("no group: %v", err)
	}
}

func TestMountPoint(t *testing.T) {
	const before = "30 25 0:27 / /sys rw - sysfs sysfs rw\n31 30 0:28 /gold /part rw - resctrl resctrl rw\n"
	for text, want := range map[string]string{
		before: "",
		before + "32 30 0:28 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw,cdp\n": "/sys/fs/resctrl",
		before + "32 30 0:28 / /a\\040b rw - resctrl none rw":                                   "/a b",
		"33 30 0:29 / /fake rw - fuse.resctrl resctrl rw\n":                                     "",
		"": "",
	} {
		if got, ok := mountPoint(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, ok, want)
		}
	}
}

// FuzzMountPoint: a mount point is a word of the text.
func FuzzMountPoint(f *testing.F) {
	f.Add("36 35 0:40 / /sys/fs/resctrl rw - resctrl resctrl rw\n")
	f.Add("36 35 0:40 /a /x rw - resctrl resctrl rw\n36 35 0:40 / /a\\040b\\134 rw shared:1 - resctrl none rw")
	f.Add(" - resctrl")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		point, ok := mountPoint(mountinfo)
		if ok == (point == "") || len(point) > len(mountinfo) {
			t.Errorf("%q, %v", point, ok)
		}
	})
}

// FuzzSchemata: any text is parsed, and a group has everything that its own text lists.
func FuzzSchemata(f *testing.F) {
	f.Add("L3:0=f", "    L3:0=00f;1=fff\n    MB:0=100\n")
	f.Add("MB:", "MB:0=x")
	f.Fuzz(func(t *testing.T, wanted, file string) {
		differs(wanted, file)
		if line, differs := differs(file, file); differs && line != "" && strings.Count(file, "\n") <= 1 && strings.Count(file, ";") == 0 {
			t.Errorf("%q differs from itself by %q", file, line)
		}
	})
}
