package cgroups

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// updateStep is one of several changes of a live cgroup, and what the kernel shows after it.
type updateStep struct {
	resources string
	v1, v2    []string
}

func TestKernelUpdates(t *testing.T) {
	lockControllers(t)
	for name, tt := range map[string]struct {
		controller string
		steps      []updateStep
	}{
		"memory up and down": {"memory", []updateStep{
			{`{"memory": {"limit": 8388608, "swap": 16777216}}`, []string{"memory.memsw.limit_in_bytes=16777216"}, []string{"memory.max=8388608", "memory.swap.max=8388608"}},
			{`{"memory": {"limit": 33554432, "swap": 67108864}}`, []string{"memory.limit_in_bytes=33554432", "memory.memsw.limit_in_bytes=67108864"}, []string{"memory.max=33554432", "memory.swap.max=33554432"}},
			{`{"memory": {"limit": 4194304, "swap": 4194304}}`, []string{"memory.limit_in_bytes=4194304", "memory.memsw.limit_in_bytes=4194304"}, []string{"memory.max=4194304", "memory.swap.max=0"}},
			{`{"memory": {"limit": -1}}`, []string{"memory.memsw.limit_in_bytes=9223372036854771712"}, []string{"memory.max=max", "memory.swap.max=max"}},
			{`{"memory": {"limit": 4194304}}`, []string{"memory.limit_in_bytes=4194304"}, []string{"memory.max=4194304", "memory.swap.max=max"}},
			{`{"memory": {"swap": 12582912}}`, []string{"memory.limit_in_bytes=4194304", "memory.memsw.limit_in_bytes=12582912"}, []string{"memory.max=4194304", "memory.swap.max=8388608"}},
		}},
		"oom killer": {"memory", []updateStep{
			{`{"memory": {"disableOOMKiller": true}}`, []string{"memory.oom_control=oom_kill_disable 1\n*"}, nil},
			{`{"memory": {"disableOOMKiller": false}}`, []string{"memory.oom_control=oom_kill_disable 0\n*"}, nil},
		}},
		"cpu": {"cpu", []updateStep{
			{`{"cpu": {"quota": 50000, "burst": 40000}}`, []string{"cpu.cfs_burst_us=40000"}, []string{"cpu.max=50000 100000", "cpu.max.burst=40000"}},
			{`{"cpu": {"quota": 20000, "burst": 10000}}`, []string{"cpu.cfs_quota_us=20000", "cpu.cfs_burst_us=10000"}, []string{"cpu.max=20000 100000", "cpu.max.burst=10000"}},
			{`{"cpu": {"quota": 90000, "burst": 80000}}`, []string{"cpu.cfs_quota_us=90000", "cpu.cfs_burst_us=80000"}, []string{"cpu.max=90000 100000", "cpu.max.burst=80000"}},
			{`{"cpu": {"period": 50000}}`, []string{"cpu.cfs_quota_us=90000", "cpu.cfs_period_us=50000"}, []string{"cpu.max=90000 50000"}},
			{`{"cpu": {"quota": 100000}}`, []string{"cpu.cfs_quota_us=100000", "cpu.cfs_period_us=50000"}, []string{"cpu.max=100000 50000"}},
			{`{"cpu": {"quota": -1}}`, []string{"cpu.cfs_quota_us=-1", "cpu.cfs_period_us=50000"}, []string{"cpu.max=max 50000"}},
			{`{"cpu": {"shares": 512, "idle": 1}}`, []string{"cpu.idle=1"}, []string{"cpu.idle=1"}},
			{`{"cpu": {"shares": 512, "idle": 0}}`, []string{"cpu.idle=0", "cpu.shares=512"}, []string{"cpu.idle=0", "cpu.weight=59"}},
		}},
		"pids": {"pids", []updateStep{
			{`{"pids": {"limit": 5}}`, []string{"pids.max=5"}, []string{"pids.max=5"}},
			{`{"pids": {"limit": -1}}`, []string{"pids.max=max"}, []string{"pids.max=max"}},
			{`{"pids": {}}`, []string{"pids.max=max"}, []string{"pids.max=max"}},
			{`{"pids": {"limit": 0}}`, []string{"pids.max=0"}, []string{"pids.max=0"}},
		}},
		"throttle": {"blkio", []updateStep{
			{`{"blockIO": {"throttleReadBpsDevice": [{DISK, "rate": 1048576}]}}`, []string{"blkio.throttle.read_bps_device=DISK 1048576"}, []string{"io.max=DISK rbps=1048576 *"}},
			{`{"blockIO": {"throttleWriteBpsDevice": [{DISK, "rate": 9}]}}`, []string{"blkio.throttle.read_bps_device=DISK 1048576"}, []string{"io.max=DISK rbps=1048576 wbps=9 *"}},
			{`{"blockIO": {"throttleReadBpsDevice": [{DISK, "rate": 0}], "throttleWriteBpsDevice": [{DISK, "rate": 0}]}}`, []string{"blkio.throttle.read_bps_device="}, []string{"io.max="}},
		}},
		"hugetlb enabled late": {"hugetlb", []updateStep{
			{`{"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}`, []string{"hugetlb.2MB.limit_in_bytes=0"}, []string{"hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0"}},
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			m := created(t, nil)
			live := Load(Layout{}, m.Paths())
			for i, step := range tt.steps {
				c := kernelCase{controller: tt.controller, resources: step.resources, v1: step.v1, v2: step.v2}
				r, want := c.prepare(t, hostLayout(t))
				if err := live.Update(r); err != nil {
					t.Fatalf("step %d, %s: %v", i, step.resources, err)
				}
				c.check(t, m, want)
			}
			if err := live.Update(nil); err != nil {
				t.Error(err)
			}
			if err := live.Update(&specs.LinuxResources{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCheckBeforeUpdate: a limit below the current usage is refused, by v1 always.
func TestCheckBeforeUpdate(t *testing.T) {
	m := created(t, nil)
	needController(t, m, "memory")
	// The writer of a file in memory is charged for it, and it cannot be reclaimed.
	shared := "/dev/shm/" + testID(t)
	t.Cleanup(func() { os.Remove(shared) })
	spawn(t, m, "/bin/sh", "-c", "head -c 20000000 /dev/zero >"+shared+"; exec sleep 1000")
	f, v := m.controllerDirectory("memory")
	file := map[version]string{v1: "memory.usage_in_bytes", v2: "memory.current"}[v]
	waitTest(t, "the process to use memory", func() bool {
		n, _ := readNumber(f.dir + "/" + file)
		return n > 16<<20
	})
	err := m.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20)), CheckBeforeUpdate: ptr(true)}})
	if refusedField(err) != "linux.resources.memory.limit" || !strings.Contains(err.Error(), " in use") && !strings.Contains(err.Error(), "in use: ") {
		t.Errorf("error %v", err)
	}
	if pids, err := m.Processes(); len(pids) == 0 || err != nil {
		t.Errorf("processes %v, %v: the limit was in force", pids, err)
	}
}
