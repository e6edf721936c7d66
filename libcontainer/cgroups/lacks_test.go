package cgroups

import (
	"errors"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestLacks: what is missing on hosts of both kinds, derived from their cgroup directories.
func TestLacks(t *testing.T) {
	v1 := fakeTree(t, map[string]string{
		"memory/memory.limit_in_bytes": "", "memory/tasks": "", "cpu/cpu.shares": "", "cpu/a/cpu.shares": "", "cpu/a/cpu.cfs_quota_us": "",
		"hugetlb/a/hugetlb.2MB.limit_in_bytes": "", "devices/devices.allow": "", "blkio/a/blkio.throttle.read_bps_device": "",
		"net_prio/a/net_prio.ifpriomap": "",
	})
	v2 := fakeTree(t, map[string]string{
		"cgroup.controllers": "cpu memory io\n", "cgroup.subtree_control": "cpu memory\n", "cgroup.procs": "1\n", "cgroup.freeze": "0",
		"a/cgroup.controllers": "cpu memory\n", "a/cgroup.subtree_control": "cpu\n", "a/cgroup.procs": "", "a/memory.max": "", "a/cpu.max": "",
	})
	layout := func(mount string, controllers ...string) Layout {
		var l Layout
		for _, c := range controllers {
			l.Hierarchies = append(l.Hierarchies, Hierarchy{Mountpoint: mount + "/" + c, Controllers: []string{c}, Own: mount + "/" + c})
		}
		l.Mode = Legacy
		return l
	}
	device := specs.LinuxThrottleDevice{Rate: 1}
	device.Major = 4000
	legacy := layout(v1, "memory", "cpu", "hugetlb", "devices", "blkio", "net_prio")
	unified := Layout{Mode: Unified, Unified: v2, UnifiedOwn: v2}
	for _, tc := range []struct {
		name   string
		layout Layout
		path   string
		r      specs.LinuxResources
		// want has parts of the errors; none if nothing is missing.
		want []string
	}{
		{"v1: all there", legacy, "/a/b", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}, CPU: &specs.LinuxCPU{Quota: ptr(int64(5000))}}, nil},
		{"v1: size of pages", legacy, "/x", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "1GB", Limit: 1}}},
			[]string{"linux.resources.hugepageLimits[0]"}},
		{"v1: no controller", layout(v1, "memory", "devices"), "/x", specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(1))}},
			[]string{"linux.resources.cpu.idle: cgroup controller cpu: not available", "linux.resources.pids.limit: cgroup controller pids: not available"}},
		{"v1: disk and interface", legacy, "/x", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device}},
			Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "nonesuch0"}, {Name: "lo"}}}},
			[]string{"there is no disk 4000:0", "there is no network interface nonesuch0"}},
		{"v1: devices unguarded", layout(v1, "memory"), "/x", specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
			[]string{"linux.resources.devices: cgroup controller devices: not available"}},
		{"v2: all there", unified, "/a/b", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}}, nil},
		{"v2: no controller", unified, "/x", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}}, []string{"controller pids: not available"}},
		{"v2: no such setting", unified, "/x", specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(1))}},
			[]string{"linux.resources.memory.swappiness: cgroup controller memory: only cgroup v1"}},
		{"v2: no such file", unified, "/a/b", specs.LinuxResources{Unified: map[string]string{"cgroup.none": "1", "memory.none": "1"}},
			[]string{`linux.resources.unified["cgroup.none"]`, `linux.resources.unified["memory.none"]`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := New(tc.layout, tc.path, "x")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, err := range m.Lacks(&tc.r) {
				got = append(got, err.Error())
			}
			if len(got) != len(tc.want) {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			for i := range tc.want {
				if !strings.Contains(got[i], tc.want[i]) {
					t.Errorf("got %q, want %q", got[i], tc.want[i])
				}
			}
		})
	}
}

// TestLacksOccupied: a cgroup with processes of its own enables nothing for those below, and a
// frozen one accepts no process.
func TestLacksOccupied(t *testing.T) {
	root := fakeTree(t, map[string]string{
		"cgroup.controllers": "cpu memory\n", "cgroup.subtree_control": "cpu memory\n",
		"a/cgroup.controllers": "cpu memory\n", "a/cgroup.subtree_control": "cpu\n", "a/cgroup.procs": "17\n",
		"f/cgroup.controllers": "cpu\n", "f/cgroup.procs": "", "f/cgroup.events": "populated 1\nfrozen 1\n",
	})
	layout := Layout{Mode: Unified, Unified: root, UnifiedOwn: root}
	lacks := func(path string) []error {
		m, err := New(layout, path, "x")
		if err != nil {
			t.Fatal(err)
		}
		return m.Lacks(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1))}})
	}
	if got := lacks("/a/b"); len(got) != 1 || !errors.Is(got[0], errNotDelegated) {
		t.Errorf("below processes: %v", got)
	}
	if got := lacks("/f"); len(got) != 1 || !errors.Is(got[0], ErrFrozen) {
		t.Errorf("frozen: %v", got)
	}
	if os.Geteuid() == 0 { // root may write anywhere
		return
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	if got := lacks("/new"); len(got) == 0 || !strings.Contains(got[0].Error(), "linux.cgroupsPath: ") {
		t.Errorf("read-only: %v", got)
	}
}
