package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func lines(list []setting) string {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.file + "=" + s.value + " " + strings.TrimPrefix(s.field, "linux.resources.") + "\n")
	}
	return b.String()
}

func TestSettings(t *testing.T) {
	var docker specs.LinuxResources
	dockerResources(t, &docker)
	i, u := func(n int64) *int64 { return &n }, func(n uint64) *uint64 { return &n }
	for _, tt := range []struct {
		name   string
		r      specs.LinuxResources
		v1, v2 string
	}{
		{"docker", docker,
			`memory.limit_in_bytes=536870912 memory.limit
memory.memsw.limit_in_bytes=1073741824 memory.swap
cpu.cfs_period_us=100000 cpu.period
cpu.cfs_quota_us=50000 cpu.quota
pids.max=100 pids.limit
`,
			`memory.swap.max=536870912 memory.swap
memory.max=536870912 memory.limit
cpu.max=50000 100000 cpu.quota
pids.max=100 pids.limit
`},
		{"all of memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i(-1), Reservation: i(4096), KernelTCP: i(8192),
			Kernel: i(1), Swappiness: u(0), DisableOOMKiller: ptr(true), UseHierarchy: ptr(true)}},
			`memory.limit_in_bytes=-1 memory.limit
memory.memsw.limit_in_bytes=-1 memory.limit
memory.soft_limit_in_bytes=4096 memory.reservation
memory.kmem.tcp.limit_in_bytes=8192 memory.kernelTCP
memory.swappiness=0 memory.swappiness
memory.oom_control=1 memory.disableOOMKiller
`,
			`memory.swap.max=max memory.limit
memory.max=max memory.limit
memory.low=4096 memory.reservation
`},
		{"no swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i(4096), Swap: i(4096)}},
			"memory.limit_in_bytes=4096 memory.limit\nmemory.memsw.limit_in_bytes=4096 memory.swap\n",
			"memory.swap.max=0 memory.swap\nmemory.max=4096 memory.limit\n"},
		{"unlimited swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i(4096), Swap: i(-1)}},
			"memory.limit_in_bytes=4096 memory.limit\nmemory.memsw.limit_in_bytes=-1 memory.swap\n",
			"memory.swap.max=max memory.swap\nmemory.max=4096 memory.limit\n"},
		{"all of cpu", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: u(2048), Quota: i(-1), Burst: u(0), Period: u(50000),
			RealtimeRuntime: i(1000), RealtimePeriod: u(1000000), Cpus: "0-1", Mems: "0", Idle: i(0)}},
			`cpu.shares=2048 cpu.shares
cpu.cfs_period_us=50000 cpu.period
cpu.cfs_quota_us=-1 cpu.quota
cpu.cfs_burst_us=0 cpu.burst
cpu.rt_period_us=1000000 cpu.realtimePeriod
cpu.rt_runtime_us=1000 cpu.realtimeRuntime
cpu.idle=0 cpu.idle
cpuset.cpus=0-1 cpu.cpus
cpuset.mems=0 cpu.mems
`,
			`cpu.idle=0 cpu.idle
cpu.weight=174 cpu.shares
cpu.max=max 50000 cpu.quota
cpu.max.burst=0 cpu.burst
cpuset.cpus=0-1 cpu.cpus
cpuset.mems=0 cpu.mems
`},
		{"idle has no weight", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: u(1024), Idle: i(1)}},
			"cpu.shares=1024 cpu.shares\ncpu.idle=1 cpu.idle\n", "cpu.idle=1 cpu.idle\n"},
		{"quota without period", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: i(1000)}},
			"cpu.cfs_quota_us=1000 cpu.quota\n", "cpu.max=1000 100000 cpu.quota\n"},
		{"pids unlimited", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(-1)}}, "pids.max=max pids.limit\n", "pids.max=max pids.limit\n"},
		{"pids 0 is a limit", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(0)}}, "pids.max=0 pids.limit\n", "pids.max=0 pids.limit\n"},
		{"unset", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: i(0), Swap: i(0), Reservation: i(0), DisableOOMKiller: ptr(false)},
			CPU: &specs.LinuxCPU{Shares: u(0), Quota: i(0), Period: u(0), RealtimePeriod: u(0), RealtimeRuntime: i(0)}, Pids: &specs.LinuxPids{}}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for v, want := range map[version]string{v1: tt.v1, v2: tt.v2} {
				list, err := settings(&tt.r, func(string) version { return v })
				if err != nil {
					t.Fatalf("v%d: %v", v, err)
				}
				if got := lines(list); got != want {
					t.Errorf("v%d: got\n%swant\n%s", v, got, want)
				}
			}
		})
	}
	for name, m := range map[string]specs.LinuxMemory{"less than": {Limit: i(4096), Swap: i(4095)}, "needs": {Swap: i(4096)}} {
		_, err := settings(&specs.LinuxResources{Memory: &m}, func(string) version { return v2 })
		if err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "linux.resources.memory.swap: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{1: 1, 2: 1, 3: 2, 102: 17, 512: 59, 1024: 100, 2048: 174, 262143: 10000, 262144: 10000, 1 << 40: 10000} {
		if got := weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}

func TestUnapplied(t *testing.T) {
	var docker specs.LinuxResources
	dockerResources(t, &docker)
	for _, r := range []*specs.LinuxResources{nil, {}, &docker, {Network: &specs.LinuxNetwork{}}} {
		if got := Unapplied(r); len(got) != 0 {
			t.Errorf("%+v: %q", r, got)
		}
	}
	r := specs.LinuxResources{
		BlockIO:        &specs.LinuxBlockIO{Weight: ptr(uint16(10)), ThrottleReadBpsDevice: make([]specs.LinuxThrottleDevice, 1)},
		HugepageLimits: make([]specs.LinuxHugepageLimit, 1), Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))},
		Rdma: map[string]specs.LinuxRdma{"mlx": {}}, Unified: map[string]string{"a.b": "c"}, Memory: &specs.LinuxMemory{Kernel: ptr(int64(1))},
	}
	got := strings.Join(Unapplied(&r), "\n")
	for _, field := range []string{"memory.kernel", "blockIO.weight", "blockIO.throttleReadBpsDevice", "hugepageLimits", "network.classID", "rdma", "unified"} {
		if !strings.Contains(got, "linux.resources."+field+": ") {
			t.Errorf("%s is not named in\n%s", field, got)
		}
	}
}

// fakeTree makes folders and files that look like a cgroup file system: "folder/file": content.
func fakeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestInheritCpuset(t *testing.T) {
	root := fakeTree(t, map[string]string{
		"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n",
		"a/cpuset.cpus": "\n", "a/cpuset.mems": "", "a/b/cpuset.cpus": "", "a/b/cpuset.mems": "",
		"set/cpuset.cpus": "2", "set/cpuset.mems": "0", "set/b/cpuset.cpus": "", "set/b/cpuset.mems": "",
	})
	for dir, want := range map[string]string{"a/b": "0-3", "set/b": "2"} {
		if err := inheritCpuset(root+"/"+dir, root, true); err != nil {
			t.Fatal(err)
		}
		if got := read(t, root+"/"+dir+"/cpuset.cpus"); got != want {
			t.Errorf("%s: cpus %q, want %q", dir, got, want)
		}
	}
	if got := read(t, root+"/a/cpuset.mems"); got != "0" {
		t.Errorf("the parent was not initialised: mems %q", got)
	}
	empty := fakeTree(t, map[string]string{"cpuset.cpus": "", "a/cpuset.cpus": ""})
	if err := inheritCpuset(empty+"/a", empty, true); err == nil {
		t.Error("no error though no parent has processors")
	}
}

func TestDelegate(t *testing.T) {
	tree := func() string {
		return fakeTree(t, map[string]string{
			"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "cpu\n",
			"p/cgroup.controllers": "cpu memory\n", "p/cgroup.subtree_control": "                    ",
			"p/c/cgroup.controllers": "",
		})
	}
	manager := func(root string) *Manager {
		return &Manager{unifiedOnly: true, unified: folder{dir: root + "/p/c", mount: root}}
	}
	root := tree()
	if err := manager(root).delegate(nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root+"/cgroup.subtree_control"); got != "+memory +pids" {
		t.Errorf("root: %q written", got)
	}
	if got := read(t, root+"/p/cgroup.subtree_control"); got != "+cpu +memory" {
		t.Errorf("p: %q written", got)
	}
	err := manager(tree()).delegate([]setting{{"memory", "memory.max", "1", "linux.resources.memory.limit", false}})
	var re *ResourceError
	if !errors.As(err, &re) || re.Field != "linux.resources.memory.limit" || !errors.Is(err, errNotDelegated) {
		t.Errorf("a controller that stays away: error %v", err)
	}
	err = manager(tree()).delegate([]setting{{"rdma", "rdma.max", "1", "linux.resources.rdma", false}})
	if !errors.Is(err, errNoController) {
		t.Errorf("a controller that is not there at all: error %v", err)
	}
	full := fakeTree(t, map[string]string{"p/cgroup.controllers": "cpu", "p/c/cgroup.controllers": "cpu"})
	if err := manager(full).delegate(nil); err != nil {
		t.Errorf("all is there, yet more was looked at: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	root := fakeTree(t, map[string]string{"cpu/x": ""})
	m := Load(Layout{}, map[string]string{"cpu": root + "/cpu"})
	err := m.write([]setting{{"cpu", "cpu.idle", "1", "linux.resources.cpu.idle", false}})
	for _, part := range []string{"linux.resources.cpu.idle", "controller cpu", `"1"`, root + "/cpu/cpu.idle", "no such file"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not name %s", err, part)
		}
	}
	err = m.Create(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}})
	if !errors.Is(err, errNoController) || !strings.Contains(err.Error(), "linux.resources.memory.limit: cgroup controller memory: ") {
		t.Errorf("missing controller: error %v", err)
	}
	err = Load(Layout{}, nil).Create(nil)
	if !errors.Is(err, errNoController) || !strings.Contains(err.Error(), "linux.resources.devices") {
		t.Errorf("no hierarchy to guard devices: error %v", err)
	}
	allowAll := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true}}}
	if err := Load(Layout{}, nil).Create(allowAll); err != nil {
		t.Errorf("no hierarchy, no limit: %v", err)
	}
}
