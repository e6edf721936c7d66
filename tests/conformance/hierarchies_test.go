package main

import (
	"reflect"
	"testing"
)

func TestParseHierarchies(t *testing.T) {
	const v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
	const v1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/systemd/agent,name=systemd\n" +
		"34 31 0:29 /x /elsewhere/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	hybrid := []hierarchy{{name: "cpu,cpuacct", options: "cpu,cpuacct"}, {name: "systemd", options: "none,name=systemd"}}
	for name, tc := range map[string]struct {
		mountinfo string
		want      []hierarchy
	}{
		"v1":     {v1, hybrid},
		"hybrid": {v2 + v1, hybrid},
		"v2":     {v2, []hierarchy{{}}},
		"none":   {"22 27 0:21 / /proc rw - proc proc rw\n", nil},
	} {
		if got := parseHierarchies(tc.mountinfo); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestAddExtra(t *testing.T) {
	const controllers = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t9\t1\nnet_cls\t0\t200\t1\nnet_prio\t5\t3\t1\nhugetlb\t0\t1\t0\n"
	mounted := []hierarchy{{name: "cpu", options: "cpu"}}
	extra := []string{"cpu", "net_cls", "net_prio", "hugetlb", "unknown"}
	want := append(mounted[:1:1], hierarchy{name: "net_cls", options: "net_cls", extra: true, before: 1},
		hierarchy{name: "net_prio", options: "net_prio", extra: true, before: 3})
	if got := addExtra(mounted, extra, controllers); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := addExtra([]hierarchy{{}}, extra, controllers); len(got) != 1 {
		t.Errorf("beside cgroup2: %+v", got)
	}
}
