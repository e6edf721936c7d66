package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// A resource is one field of linux.resources, or several that belong together, and how the kernel's
// files show it. config.json sets it to one, update to two, and another update back.
type resource struct {
	// fields are the row's fields, as paths below linux.resources.
	fields     string
	controller string
	// one and two are JSON as in linux.resources; $MAJOR, $MINOR and $DISK are those of a disk.
	one, two string
	flags    string // update's flags for one; "" for none
	v1, v2   []shown
	refused  string // the error for a version that has no file for it
	none     string // or why there is no error
	warns    string // or the warning
	disk     bool   // it needs a disk with the I/O scheduler bfq
	alone    bool   // others cannot be combined with it
	// prepare prepares the host, or returns why that is impossible.
	prepare func(t *testing.T, h hierarchy) (none string)
}

// shown is a line of a file of the cgroup.
type shown struct{ file, one, two string }

// onlyV1 is the error for what cgroup2 has no equivalent of.
const onlyV1 = "only cgroup v1 has such a setting"

// resources returns the matrix. TestEveryResource fails if specs.LinuxResources has a field that is
// not in it.
func resources() []resource {
	var all []resource
	for _, list := range [][]resource{memoryResources(), cpuResources(), blockResources(), otherResources()} {
		all = append(all, list...)
	}
	return all
}

func memoryResources() []resource {
	return []resource{
		{
			fields: "memory.limit", controller: "memory",
			one: `{"memory":{"limit":67108864}}`, two: `{"memory":{"limit":33554432}}`, flags: "--memory 64m",
			v1: []shown{{"memory.limit_in_bytes", "67108864", "33554432"}},
			v2: []shown{{"memory.max", "67108864", "33554432"}},
		},
		{
			fields: "memory.limit", controller: "memory",
			one: `{"memory":{"limit":67108864}}`, two: `{"memory":{"limit":-1}}`, flags: "--memory=65536KiB",
			v1: []shown{{"memory.limit_in_bytes", "67108864", "9223372036854771712"}},
			v2: []shown{{"memory.max", "67108864", "max"}},
		},
		{
			fields: "memory.reservation", controller: "memory",
			one: `{"memory":{"reservation":33554432}}`, two: `{"memory":{"reservation":16777216}}`, flags: "--memory-reservation 32m",
			v1: []shown{{"memory.soft_limit_in_bytes", "33554432", "16777216"}},
			v2: []shown{{"memory.low", "33554432", "16777216"}},
		},
		{ // raised, then lowered: both limits at once, which the kernel checks against each other
			fields: "memory.swap memory.limit", controller: "memory",
			one: `{"memory":{"limit":67108864,"swap":134217728}}`, two: `{"memory":{"limit":268435456,"swap":301989888}}`, flags: "--memory 64m --memory-swap 128m",
			v1: []shown{{"memory.memsw.limit_in_bytes", "134217728", "301989888"}, {"memory.limit_in_bytes", "67108864", "268435456"}},
			v2: []shown{{"memory.swap.max", "67108864", "33554432"}, {"memory.max", "67108864", "268435456"}},
		},
		{
			fields: "memory.swap", controller: "memory",
			one: `{"memory":{"limit":67108864,"swap":67108864}}`, two: `{"memory":{"swap":-1}}`, flags: "--memory 64m --memory-swap 64m",
			v1: []shown{{"memory.memsw.limit_in_bytes", "67108864", "9223372036854771712"}, {"memory.limit_in_bytes", "67108864", "67108864"}},
			v2: []shown{{"memory.swap.max", "0", "max"}, {"memory.max", "67108864", "67108864"}},
		},
		{
			fields: "memory.kernel", controller: "memory",
			one: `{"memory":{"kernel":67108864}}`, two: `{"memory":{"kernel":33554432}}`, flags: "--kernel-memory 64m",
			none: "kernels since 5.16 have no such limit", warns: "linux.resources.memory.kernel",
		},
		{
			fields: "memory.kernelTCP", controller: "memory",
			one: `{"memory":{"kernelTCP":8388608}}`, two: `{"memory":{"kernelTCP":4194304}}`, flags: "--kernel-memory-tcp 8m",
			v1:      []shown{{"memory.kmem.tcp.limit_in_bytes", "8388608", "4194304"}},
			refused: onlyV1,
		},
		{
			fields: "memory.swappiness", controller: "memory",
			one: `{"memory":{"swappiness":10}}`, two: `{"memory":{"swappiness":40}}`,
			v1:      []shown{{"memory.swappiness", "10", "40"}},
			refused: onlyV1,
		},
		{
			fields: "memory.disableOOMKiller", controller: "memory",
			one: `{"memory":{"disableOOMKiller":true}}`, two: `{"memory":{"disableOOMKiller":false}}`,
			v1:      []shown{{"memory.oom_control", "oom_kill_disable 1", "oom_kill_disable 0"}},
			refused: onlyV1,
		},
		{
			fields: "memory.useHierarchy", controller: "memory",
			one: `{"memory":{"useHierarchy":true}}`, two: `{"memory":{"useHierarchy":true}}`,
			v1:   []shown{{"memory.use_hierarchy", "1", "1"}},
			none: "all of cgroup2 is hierarchical",
		},
		{ // its refusals: TestCheckBeforeUpdate
			fields: "memory.checkBeforeUpdate", controller: "memory",
			one: `{"memory":{"limit":67108864,"checkBeforeUpdate":true}}`, two: `{"memory":{"limit":33554432,"checkBeforeUpdate":true}}`,
			v1: []shown{{"memory.limit_in_bytes", "67108864", "33554432"}},
			v2: []shown{{"memory.max", "67108864", "33554432"}},
		},
	}
}

func cpuResources() []resource {
	return []resource{
		{
			fields: "cpu.shares", controller: "cpu",
			one: `{"cpu":{"shares":512}}`, two: `{"cpu":{"shares":2048}}`, flags: "--cpu-share 512",
			v1: []shown{{"cpu.shares", "512", "2048"}},
			v2: []shown{{"cpu.weight", "59", "174"}},
		},
		{
			fields: "cpu.quota", controller: "cpu",
			one: `{"cpu":{"quota":50000,"period":200000}}`, two: `{"cpu":{"quota":25000}}`, flags: "--cpu-quota 50000",
			v1: []shown{{"cpu.cfs_quota_us", "50000", "25000"}, {"cpu.cfs_period_us", "200000", "200000"}},
			v2: []shown{{"cpu.max", "50000 200000", "25000 200000"}},
		},
		{
			fields: "cpu.quota", controller: "cpu",
			one: `{"cpu":{"quota":50000}}`, two: `{"cpu":{"quota":-1}}`, flags: "--cpu-quota 50000",
			v1: []shown{{"cpu.cfs_quota_us", "50000", "-1"}},
			v2: []shown{{"cpu.max", "50000 100000", "max 100000"}},
		},
		{
			fields: "cpu.period", controller: "cpu",
			one: `{"cpu":{"quota":50000,"period":100000}}`, two: `{"cpu":{"period":200000}}`, flags: "--cpu-period 100000",
			v1: []shown{{"cpu.cfs_period_us", "100000", "200000"}, {"cpu.cfs_quota_us", "50000", "50000"}},
			v2: []shown{{"cpu.max", "50000 100000", "50000 200000"}},
		},
		{
			fields: "cpu.burst", controller: "cpu",
			one: `{"cpu":{"quota":50000,"burst":10000}}`, two: `{"cpu":{"burst":20000}}`, flags: "--cpu-burst 10000",
			v1: []shown{{"cpu.cfs_burst_us", "10000", "20000"}},
			v2: []shown{{"cpu.max.burst", "10000", "20000"}},
		},
		{ // lowered, then raised: the kernel refuses a quota below the burst
			fields: "cpu.burst cpu.quota", controller: "cpu",
			one: `{"cpu":{"quota":50000,"burst":40000}}`, two: `{"cpu":{"quota":20000,"burst":10000}}`, flags: "--cpu-quota 50000 --cpu-burst 40000",
			v1: []shown{{"cpu.cfs_burst_us", "40000", "10000"}, {"cpu.cfs_quota_us", "50000", "20000"}},
			v2: []shown{{"cpu.max.burst", "40000", "10000"}, {"cpu.max", "50000 100000", "20000 100000"}},
		},
		{
			fields: "cpu.realtimeRuntime cpu.realtimePeriod", controller: "cpu",
			one: `{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":1000}}`, two: `{"cpu":{"realtimePeriod":500000,"realtimeRuntime":2000}}`,
			flags:   "--cpu-rt-period 1000000 --cpu-rt-runtime 1000",
			v1:      []shown{{"cpu.rt_runtime_us", "1000", "2000"}, {"cpu.rt_period_us", "1000000", "500000"}},
			refused: onlyV1, prepare: realtimeParent,
		},
		{
			fields: "cpu.idle", controller: "cpu",
			// Idle cgroups have no shares.
			one: `{"cpu":{"idle":1}}`, two: `{"cpu":{"idle":0}}`, flags: "--cpu-idle 1", alone: true,
			v1: []shown{{"cpu.idle", "1", "0"}},
			v2: []shown{{"cpu.idle", "1", "0"}},
		},
		{
			fields: "cpu.cpus", controller: "cpuset",
			one: `{"cpu":{"cpus":"0"}}`, two: `{"cpu":{"cpus":"0-1"}}`, flags: "--cpuset-cpus 0",
			v1: []shown{{"cpuset.cpus", "0", "0-1"}},
			v2: []shown{{"cpuset.cpus", "0", "0-1"}},
			prepare: func(*testing.T, hierarchy) string {
				if _, err := os.Stat("/sys/devices/system/cpu/cpu1"); err != nil {
					return "needs two processors"
				}
				return ""
			},
		},
		{ // most machines only have one memory node: TestUpdateRefused tests that more are refused
			fields: "cpu.mems", controller: "cpuset",
			one: `{"cpu":{"mems":"0"}}`, two: `{"cpu":{"mems":"0"}}`, flags: "--cpuset-mems 0",
			v1: []shown{{"cpuset.mems", "0", "0"}},
			v2: []shown{{"cpuset.mems", "0", "0"}},
		},
	}
}

// realtimeParent gives the tests' cgroup real-time processor time, of which its children may get
// some.
func realtimeParent(t *testing.T, h hierarchy) string {
	if h.version == 2 {
		return ""
	}
	parent := filepath.Join(h.mount, harness.CgroupParent())
	if err := os.Mkdir(parent, 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "cpu.rt_runtime_us"), []byte("100000"), 0); err != nil {
		return fmt.Sprintf("this kernel gives cgroups no real-time processor time: %v", err)
	}
	return ""
}

func blockResources() []resource {
	device := func(field, value string) string {
		return `{"blockIO":{"` + field + `":[{"major":$MAJOR,"minor":$MINOR,` + value + `}]}}`
	}
	throttle := func(field, file, key string) resource {
		limits := map[string]string{"rbps": "max", "wbps": "max", "riops": "max", "wiops": "max"}
		line := func(value string) string {
			limits[key] = value
			return "$DISK rbps=" + limits["rbps"] + " wbps=" + limits["wbps"] + " riops=" + limits["riops"] + " wiops=" + limits["wiops"]
		}
		path := "blockIO." + field + "[]."
		return resource{
			fields: path + "major " + path + "minor " + path + "rate", controller: "blkio", disk: true,
			one: device(field, `"rate":1048576`), two: device(field, `"rate":4096`),
			v1: []shown{{"blkio.throttle." + file, "$DISK 1048576", "$DISK 4096"}},
			v2: []shown{{"io.max", line("1048576"), line("4096")}},
		}
	}
	leaves := func(t *testing.T, h hierarchy) string {
		if h.version == 1 && h.lacks(t, "blkio", "blkio.leaf_weight") == "" {
			return "this kernel has the CFQ scheduler"
		}
		return ""
	}
	return []resource{
		{ // without bfq, and so before the rows with a disk
			fields: "blockIO.weight", controller: "blkio",
			one: `{"blockIO":{"weight":500}}`, two: `{"blockIO":{"weight":100}}`, flags: "--blkio-weight 500",
			v2: []shown{{"io.weight", "default 4950", "default 910"}},
			prepare: func(t *testing.T, h hierarchy) string {
				if h.version == 2 && h.lacks(t, "blkio", "io.bfq.weight") == "" {
					return "this kernel has bfq: the row with a disk is for it"
				}
				return ""
			},
		},
		{
			fields: "blockIO.weight", controller: "blkio", disk: true,
			one: `{"blockIO":{"weight":500}}`, two: `{"blockIO":{"weight":100}}`, flags: "--blkio-weight 500",
			v1: []shown{{"blkio.bfq.weight", "500", "100"}},
			v2: []shown{{"io.bfq.weight", "default 500", "default 100"}},
		},
		{
			fields:     "blockIO.weightDevice[].major blockIO.weightDevice[].minor blockIO.weightDevice[].weight",
			controller: "blkio", disk: true,
			one: device("weightDevice", `"weight":300`), two: device("weightDevice", `"weight":600`),
			v1: []shown{{"blkio.bfq.weight_device", "$DISK 300", "$DISK 600"}},
			v2: []shown{{"io.bfq.weight", "$DISK 300", "$DISK 600"}},
		},
		{
			fields: "blockIO.leafWeight", controller: "blkio",
			one: `{"blockIO":{"leafWeight":500}}`, two: `{"blockIO":{"leafWeight":100}}`,
			refused: "linux.resources.blockIO.leafWeight", prepare: leaves,
		},
		{
			fields: "blockIO.weightDevice[].leafWeight", controller: "blkio", disk: true,
			one: device("weightDevice", `"leafWeight":300`), two: device("weightDevice", `"leafWeight":600`),
			refused: "linux.resources.blockIO.weightDevice[0].leafWeight", prepare: leaves,
		},
		throttle("throttleReadBpsDevice", "read_bps_device", "rbps"),
		throttle("throttleWriteBpsDevice", "write_bps_device", "wbps"),
		throttle("throttleReadIOPSDevice", "read_iops_device", "riops"),
		throttle("throttleWriteIOPSDevice", "write_iops_device", "wiops"),
	}
}

func otherResources() []resource {
	return []resource{
		{
			fields:     "devices[].allow devices[].type devices[].major devices[].minor devices[].access",
			controller: "devices",
			one:        `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}`,
			two:        `{"devices":[{"allow":false},{"allow":true,"type":"b","major":7,"access":"r"}]}`,
			v1:         []shown{{"devices.list", "c 10:229 rw", "b 7:* r"}},
			none:       "cgroup2 shows no rules: see TestDeviceAccess, which opens devices",
		},
		{
			fields: "pids.limit", controller: "pids",
			one: `{"pids":{"limit":100}}`, two: `{"pids":{"limit":50}}`, flags: "--pids-limit 100",
			v1: []shown{{"pids.max", "100", "50"}},
			v2: []shown{{"pids.max", "100", "50"}},
		},
		{
			fields: "pids.limit", controller: "pids",
			one: `{"pids":{"limit":-1}}`, two: `{"pids":{"limit":0}}`, flags: "--pids-limit -1",
			v1: []shown{{"pids.max", "max", "0"}},
			v2: []shown{{"pids.max", "max", "0"}},
		},
		{
			fields: "hugepageLimits[].pageSize hugepageLimits[].limit", controller: "hugetlb",
			one: `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, two: `{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}`,
			v1: []shown{{"hugetlb.2MB.limit_in_bytes", "4194304", "2097152"}, {"hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "2097152"}},
			v2: []shown{{"hugetlb.2MB.max", "4194304", "2097152"}, {"hugetlb.2MB.rsvd.max", "4194304", "2097152"}},
		},
		{
			fields: "network.classID", controller: "net_cls",
			one: `{"network":{"classID":1048577}}`, two: `{"network":{"classID":1048578}}`,
			v1:      []shown{{"net_cls.classid", "1048577", "1048578"}},
			refused: onlyV1,
		},
		{
			fields: "network.priorities[].name network.priorities[].priority", controller: "net_prio",
			one: `{"network":{"priorities":[{"name":"lo","priority":5}]}}`, two: `{"network":{"priorities":[{"name":"lo","priority":7}]}}`,
			v1:      []shown{{"net_prio.ifpriomap", "lo 5", "lo 7"}},
			refused: onlyV1,
		},
		{ // with a device, which hardly any machine has; without one: TestUpdateRefused
			fields: "rdma{}.hcaHandles rdma{}.hcaObjects", controller: "rdma",
			one: `{"rdma":{"$RDMA":{"hcaHandles":3,"hcaObjects":10}}}`, two: `{"rdma":{"$RDMA":{"hcaHandles":4,"hcaObjects":20}}}`,
			v1: []shown{{"rdma.max", "$RDMA hca_handle=3 hca_object=10", "$RDMA hca_handle=4 hca_object=20"}},
			v2: []shown{{"rdma.max", "$RDMA hca_handle=3 hca_object=10", "$RDMA hca_handle=4 hca_object=20"}},
		},
		{
			fields: "unified{}", controller: "memory",
			one: `{"unified":{"memory.high":"33554432","memory.oom.group":"1"}}`, two: `{"unified":{"memory.high":"max"}}`,
			v2: []shown{{"memory.high", "33554432", "max"}, {"memory.oom.group", "1", "1"}},
		},
		{
			fields: "unified{}", controller: "hugetlb",
			one: `{"unified":{"hugetlb.2MB.max":"4194304"}}`, two: `{"unified":{"hugetlb.2MB.max":"2097152"}}`,
			v2: []shown{{"hugetlb.2MB.max", "4194304", "2097152"}},
		},
		{
			fields: "unified{}", controller: "blkio", disk: true,
			one: `{"unified":{"io.max":"$DISK rbps=2097152 wiops=120"}}`, two: `{"unified":{"io.max":"$DISK wiops=60"}}`,
			v2: []shown{{"io.max", "$DISK rbps=2097152 wbps=max riops=max wiops=120", "$DISK rbps=2097152 wbps=max riops=max wiops=60"}},
		},
	}
}
