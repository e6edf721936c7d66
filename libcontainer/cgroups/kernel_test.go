package cgroups

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// kernelCase is resources and what the kernel shows of them. DISK is replaced by the numbers of a
// disk.
type kernelCase struct {
	name, resources string
	controller      string // v1's name
	v1, v2          []string
	since           string // a control file that older kernels do not have
}

var kernelCases = []kernelCase{
	{name: "memory", controller: "memory", resources: `{"memory": {"limit": 16777216, "swap": 33554432, "reservation": 8388608}}`,
		v1: []string{"memory.limit_in_bytes=16777216", "memory.memsw.limit_in_bytes=33554432", "memory.soft_limit_in_bytes=8388608"},
		v2: []string{"memory.max=16777216", "memory.swap.max=16777216", "memory.low=8388608"}},
	{name: "memory of v1", controller: "memory",
		resources: `{"memory": {"kernelTCP": 1048576, "swappiness": 10, "disableOOMKiller": true, "useHierarchy": true}}`,
		v1:        []string{"memory.kmem.tcp.limit_in_bytes=1048576", "memory.swappiness=10", "memory.oom_control=oom_kill_disable 1\n*", "memory.use_hierarchy=1"}},
	{name: "no swap", controller: "memory", resources: `{"memory": {"limit": 16777216, "swap": 16777216}}`,
		v1: []string{"memory.limit_in_bytes=16777216", "memory.memsw.limit_in_bytes=16777216"},
		v2: []string{"memory.max=16777216", "memory.swap.max=0"}},
	{name: "memory unlimited", controller: "memory", resources: `{"memory": {"limit": -1}}`,
		v1: []string{"memory.limit_in_bytes=9223372036854771712", "memory.memsw.limit_in_bytes=9223372036854771712"},
		v2: []string{"memory.max=max", "memory.swap.max=max"}},
	{name: "cpu", controller: "cpu", resources: `{"cpu": {"shares": 2048, "quota": 20000, "period": 50000}}`,
		v1: []string{"cpu.shares=2048", "cpu.cfs_quota_us=20000", "cpu.cfs_period_us=50000"},
		v2: []string{"cpu.weight=174", "cpu.max=20000 50000"}},
	{name: "cpu burst", controller: "cpu", resources: `{"cpu": {"quota": 20000, "burst": 10000}}`,
		v1: []string{"cpu.cfs_quota_us=20000", "cpu.cfs_burst_us=10000"}, v2: []string{"cpu.max=20000 100000", "cpu.max.burst=10000"}},
	{name: "cpu idle", controller: "cpu", resources: `{"cpu": {"idle": 1}}`, v1: []string{"cpu.idle=1"}, v2: []string{"cpu.idle=1"}},
	{name: "cpu quota unlimited", controller: "cpu", resources: `{"cpu": {"quota": -1}}`,
		v1: []string{"cpu.cfs_quota_us=-1"}, v2: []string{"cpu.max=max 100000"}},
	{name: "cpu period alone", controller: "cpu", resources: `{"cpu": {"period": 20000}}`,
		v1: []string{"cpu.cfs_quota_us=-1", "cpu.cfs_period_us=20000"}, v2: []string{"cpu.max=max 20000"}},
	{name: "cpu realtime", controller: "cpu", resources: `{"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 1000}}`, since: "cpu.rt_runtime_us",
		v1: []string{"cpu.rt_period_us=500000", "cpu.rt_runtime_us=1000"}},
	{name: "cpuset", controller: "cpuset", resources: `{"cpu": {"cpus": "0", "mems": "0"}}`,
		v1: []string{"cpuset.cpus=0", "cpuset.mems=0"}, v2: []string{"cpuset.cpus=0", "cpuset.mems=0"}},
	{name: "pids", controller: "pids", resources: `{"pids": {"limit": 32}}`, v1: []string{"pids.max=32"}, v2: []string{"pids.max=32"}},
	{name: "pids unlimited", controller: "pids", resources: `{"pids": {"limit": -1}}`, v1: []string{"pids.max=max"}, v2: []string{"pids.max=max"}},
	{name: "pids none", controller: "pids", resources: `{"pids": {"limit": 0}}`, v1: []string{"pids.max=0"}, v2: []string{"pids.max=0"}},
	{name: "blkio throttle", controller: "blkio", resources: `{"blockIO": {
			"throttleReadBpsDevice": [{DISK, "rate": 1048576}], "throttleWriteBpsDevice": [{DISK, "rate": 2097152}],
			"throttleReadIOPSDevice": [{DISK, "rate": 100}], "throttleWriteIOPSDevice": [{DISK, "rate": 200}]}}`,
		v1: []string{"blkio.throttle.read_bps_device=DISK 1048576", "blkio.throttle.write_bps_device=DISK 2097152",
			"blkio.throttle.read_iops_device=DISK 100", "blkio.throttle.write_iops_device=DISK 200"},
		v2: []string{"io.max=DISK rbps=1048576 wbps=2097152 riops=100 wiops=200"}},
	{name: "blkio no throttle", controller: "blkio", resources: `{"blockIO": {"throttleReadBpsDevice": [{DISK, "rate": 0}]}}`,
		v1: []string{"blkio.throttle.read_bps_device="}, v2: []string{"io.max="}},
	{name: "hugetlb", controller: "hugetlb", resources: `{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}`,
		v1: []string{"hugetlb.2MB.limit_in_bytes=4194304", "hugetlb.2MB.rsvd.limit_in_bytes=4194304"},
		v2: []string{"hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"}},
	{name: "net_cls", controller: "net_cls", resources: `{"network": {"classID": 1048577}}`, v1: []string{"net_cls.classid=1048577"}},
	{name: "net_prio", controller: "net_prio", resources: `{"network": {"priorities": [{"name": "lo", "priority": 5}]}}`,
		v1: []string{"net_prio.ifpriomap=lo 5*"}},
	{name: "unified of the core", controller: "", resources: `{"unified": {"cgroup.max.depth": "3", "cgroup.max.descendants": "10"}}`,
		v1: []string{"cgroup.max.depth=3", "cgroup.max.descendants=10"}, v2: []string{"cgroup.max.depth=3", "cgroup.max.descendants=10"}},
	{name: "unified hugetlb", controller: "hugetlb", resources: `{"unified": {"hugetlb.2MB.max": "4194304"}}`, v2: []string{"hugetlb.2MB.max=4194304"}},
	{name: "unified memory", controller: "memory", resources: `{"unified": {"memory.high": "8388608", "memory.min": "4096"}}`,
		v2: []string{"memory.high=8388608", "memory.min=4096"}},
	{name: "unified io", controller: "blkio", resources: `{"unified": {"io.max": "DISK rbps=1048576\nDISK wbps=2097152"}}`,
		v2: []string{"io.max=DISK rbps=1048576 wbps=2097152 riops=max wiops=max"}},
	{name: "unified cpuset emptied", controller: "cpuset", resources: `{"unified": {"cpuset.cpus": ""}}`, v2: []string{"cpuset.cpus="}},
	{name: "unified in any order", controller: "cpu", resources: `{"unified": {"cpu.max": "30000 50000", "cpu.max.burst": "20000", "cpu.weight": "7"}}`,
		v2: []string{"cpu.max=30000 50000", "cpu.max.burst=20000", "cpu.weight=7"}},
}

// TestKernelTakesResources sets each resource by create and by Update, and reads it back.
func TestKernelTakesResources(t *testing.T) {
	lockControllers(t)
	for i := range kernelCases {
		tt := &kernelCases[i]
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			needRoot(t)
			r, want := tt.prepare(t, hostLayout(t))
			t.Run("create", func(t *testing.T) {
				m := created(t, r)
				if err := m.Tighten(); err != nil { // like the end of Spawn
					t.Fatal(err)
				}
				tt.check(t, m, want)
			})
			t.Run("update", func(t *testing.T) {
				m := created(t, nil)
				if err := Load(Layout{}, m.Paths()).Update(r); err != nil {
					t.Fatal(err)
				}
				tt.check(t, m, want)
			})
		})
	}
}

// prepare skips the test if the host has no such controller. It returns the resources, and the
// expected content of the files.
func (tt *kernelCase) prepare(t *testing.T, layout Layout) (*specs.LinuxResources, []string) {
	t.Helper()
	m, err := New(layout, "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	needController(t, m, tt.controller)
	want := tt.v1
	if m.version(tt.controller) == v2 || tt.controller == "" {
		want = tt.v2
	}
	if want == nil {
		t.Skipf("controller %s is on v%d here", tt.controller, m.version(tt.controller))
	}
	if f, _ := m.controllerDirectory(tt.controller); tt.since != "" && unix.Access(f.mount+"/"+tt.since, unix.F_OK) != nil {
		t.Skipf("this kernel has no %s", tt.since)
	}
	number := disk(t)
	major, minor, _ := strings.Cut(number, ":")
	text := strings.ReplaceAll(tt.resources, "{DISK,", `{"major": `+major+`, "minor": `+minor+`,`)
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "DISK", number)), &r); err != nil {
		t.Fatal(err)
	}
	want = slices.Clone(want)
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "DISK", number)
	}
	return &r, want
}

// needController skips the test if no hierarchy has the controller; "" is cgroup2 itself.
func needController(t *testing.T, m *Manager, controller string) {
	t.Helper()
	if m.v1(controller) != nil {
		return
	}
	if m.unified.dir == "" {
		t.Skip("no cgroup2 hierarchy is mounted")
	}
	if controller == "blkio" {
		controller = "io"
	}
	have, err := controllers(m.unified.mount, "cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	if controller != "" && !slices.Contains(have, controller) {
		t.Skipf("no hierarchy here has the controller %s", controller)
	}
}

// disk returns the numbers of a disk of this machine, "254:0"; "0:0" if there is none.
func disk(t *testing.T) string {
	t.Helper()
	files, _ := filepath.Glob("/sys/block/*/dev")
	for _, file := range files {
		if size := read(t, filepath.Dir(file)+"/size"); size != "0" {
			return read(t, file)
		}
	}
	return "0:0"
}

func (tt *kernelCase) check(t *testing.T, m *Manager, want []string) {
	t.Helper()
	f, _ := m.controllerDirectory(tt.controller)
	for _, w := range want {
		file, value, _ := strings.Cut(w, "=")
		got := read(t, f.dir+"/"+file)
		if prefix, ok := strings.CutSuffix(value, "*"); ok {
			if !strings.HasPrefix(got, prefix) {
				t.Errorf("%s: %q, want %q and more", file, got, prefix)
			}
		} else if got != value {
			t.Errorf("%s: %q, want %q", file, got, value)
		}
	}
}

// TestKernelRefusals: an error names and explains what the kernel refuses.
func TestKernelRefusals(t *testing.T) {
	lockControllers(t)
	for _, tt := range []struct {
		name, controller, resources string
		v                           version
		want                        []string
	}{
		{"swap below limit", "memory", `{"memory": {"limit": 8388608, "swap": 4194304}}`, v1,
			[]string{"linux.resources.memory.", "/memory.", "(memory "}},
		{"rdma device", "rdma", `{"rdma": {"none0": {"hcaObjects": 1}}}`, 0, []string{"linux.resources.rdma.none0", "/rdma.max", "none0 hca_object=1"}},
		{"unified file", "", `{"unified": {"cgroup.nothing": "1"}}`, v2, []string{`linux.resources.unified["cgroup.nothing"]`, "does not provide this file here"}},
		{"unified controller", "", `{"unified": {"nothing.max": "1"}}`, v2, []string{`linux.resources.unified["nothing.max"]`, "controller nothing", "not available"}},
		{"unified up", "", `{"unified": {"..": "1"}}`, v2, []string{`linux.resources.unified[".."]`}},
		{"unified elsewhere", "", `{"unified": {"../cgroup.max.depth": "1"}}`, v2, []string{`linux.resources.unified["../cgroup.max.depth"]`}},
		{"page size", "hugetlb", `{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}`, v2, []string{"linux.resources.hugepageLimits[0]", "hugetlb.3MB.max", "2MB"}},
		{"quota too small", "cpu", `{"cpu": {"quota": 5}}`, 0, []string{"linux.resources.cpu.quota", `"5"`, "1000"}},
		{"no such cpu", "cpuset", `{"cpu": {"cpus": "4000"}}`, 0, []string{"linux.resources.cpu.cpus", `"4000"`}},
		{"no such disk", "blkio", `{"blockIO": {"throttleReadBpsDevice": [{"major": 4095, "minor": 77, "rate": 1}]}}`, 0,
			[]string{"linux.resources.blockIO.throttleReadBpsDevice[0]", "4095:77", "no such device"}},
		{"leaf weight", "blkio", `{"blockIO": {"leafWeight": 10}}`, v1, []string{"linux.resources.blockIO.leafWeight", "CFQ"}},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			needRoot(t)
			c := kernelCase{controller: tt.controller, resources: tt.resources}
			if tt.v != v2 {
				c.v1 = []string{}
			}
			if tt.v != v1 {
				c.v2 = []string{}
			}
			r, _ := c.prepare(t, hostLayout(t))
			m, err := New(hostLayout(t), "", testID(t))
			if err != nil {
				t.Fatal(err)
			}
			if err = m.Create(r); err == nil {
				m.Delete()
				t.Fatal("no error")
			}
			if refusedField(err) == "" {
				t.Errorf("no *ResourceError: %v", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
			t.Log(err)
			for _, dir := range m.Paths() {
				if _, err := os.Lstat(dir); !os.IsNotExist(err) {
					t.Errorf("%s is left over (%v)", dir, err)
				}
			}
		})
	}
}

// TestNoControllersFromOccupied: a cgroup with processes does not enable controllers for a
// container's below it. The attempt must not make it the root of a threaded subtree either, which
// the kernel would allow with some controllers.
func TestNoControllersFromOccupied(t *testing.T) {
	lockControllers(t)
	needRoot(t)
	layout := hostLayout(t)
	if layout.Unified == "" {
		t.Skip("no cgroup2 hierarchy is mounted")
	}
	parent := Load(layout, map[string]string{"": filepath.Join(layout.Unified, testID(t))})
	t.Cleanup(func() {
		if err := errors.Join(parent.Kill(unix.SIGKILL), parent.Delete()); err != nil {
			t.Error(err)
		}
		unix.Wait4(-1, nil, 0, nil)
	})
	if err := os.Mkdir(parent.unified.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	spawn(t, parent, "/bin/sleep", "1000")
	m := Load(layout, map[string]string{"": parent.unified.dir + "/below"})
	m.unified.held = false // it does not exist yet
	have, err := controllers(layout.Unified, "cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	r, controller := &specs.LinuxResources{Devices: parseDevices(t, "allow a").Devices}, ""
	for _, file := range []string{"pids.max", "hugetlb.2MB.max", "memory.high"} {
		if c, _, _ := strings.Cut(file, "."); slices.Contains(have, c) {
			controller, r.Unified = c, map[string]string{file: "0"}
			break
		}
	}
	if controller == "" {
		t.Skip("cgroup2 has no controllers here")
	}
	err = m.Create(r)
	if !errors.Is(err, errNotDelegated) || !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), `"+`+controller+`" to `+parent.unified.dir) {
		t.Errorf("error %v", err)
	}
	if got := read(t, parent.unified.dir+"/cgroup.type"); got != "domain" {
		t.Errorf("the cgroup above is a %s now", got)
	}
}
