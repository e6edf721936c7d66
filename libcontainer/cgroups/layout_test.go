package cgroups

import (
	"reflect"
	"strings"
	"testing"
)

const hybridMounts = `23 1 0:22 / / rw - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
`

const hybridOwn = "9:name=systemd:/user.slice\n3:cpuset:/\n1:cpu,cpuacct:/a:b\n5:devices:/unmounted\n0::/user.slice/x\n"

func hybridLayout() Layout {
	return Layout{
		Mode: Hybrid,
		Hierarchies: []Hierarchy{
			{Mountpoint: "/sys/fs/cgroup/systemd", Root: "/", Name: "name=systemd", Own: "/sys/fs/cgroup/systemd/user.slice"},
			{Mountpoint: "/sys/fs/cgroup/cpuset", Root: "/", Controllers: []string{"cpuset"}, Own: "/sys/fs/cgroup/cpuset"},
			{Mountpoint: "/sys/fs/cgroup/cpu,cpuacct", Root: "/", Controllers: []string{"cpu", "cpuacct"}, Own: "/sys/fs/cgroup/cpu,cpuacct/a:b"},
		},
		Unified: "/sys/fs/cgroup/unified", UnifiedOwn: "/sys/fs/cgroup/unified/user.slice/x",
	}
}

func TestParseLayout(t *testing.T) {
	cpuAt := func(mount, root, own string) Layout {
		return Layout{Mode: Legacy, Hierarchies: []Hierarchy{{Mountpoint: mount, Root: root, Controllers: []string{"cpu"}, Own: own}}}
	}
	for _, tt := range []struct {
		name, mounts, own string
		want              Layout
	}{
		{"hybrid", hybridMounts, hybridOwn, hybridLayout()},
		{"hierarchy at its end", "31 23 0:27 / /c rw - cgroup none rw,cpu\n", "5::/\n1:cpu:/\n", cpuAt("/c", "/", "/c")},
		{"none", "23 1 0:22 / / rw - ext4 /dev/vda rw\n", "0::/\n", Layout{}},
		{"empty", "", "", Layout{}},
		{"unified", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/user.slice/s.scope\n",
			Layout{Mode: Unified, Unified: "/sys/fs/cgroup", UnifiedOwn: "/sys/fs/cgroup/user.slice/s.scope"}},
		{"unified, and what it lacks", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 23 0:27 / /net rw - cgroup none rw,net_cls\n", "1:net_cls:/\n0::/s\n",
			Layout{Mode: Unified, Unified: "/sys/fs/cgroup", UnifiedOwn: "/sys/fs/cgroup/s",
				Hierarchies: []Hierarchy{{Mountpoint: "/net", Root: "/", Controllers: []string{"net_cls"}, Own: "/net"}}}},
		{"legacy", "32 31 0:29 / /cg/cpu rw - cgroup none rw,cpu\n", "1:cpu:/x\n0::/\n", cpuAt("/cg/cpu", "/", "/cg/cpu/x")},
		{"container without cgroup namespace", "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n", "1:cpu:/docker/abc/in\n",
			cpuAt("/sys/fs/cgroup/cpu", "/docker/abc", "/sys/fs/cgroup/cpu/in")},
		{"own cgroup not shown", "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n", "1:cpu:/docker/abcd\n",
			cpuAt("/sys/fs/cgroup/cpu", "/docker/abc", "/sys/fs/cgroup/cpu")},
		{"own cgroup outside of the namespace", "32 31 0:29 / /c rw - cgroup cgroup rw,cpu\n", "1:cpu:/../x\n", cpuAt("/c", "/", "/c")},
		{"two mounts, the second shows the own cgroup",
			"32 31 0:29 /k /a rw - cgroup cgroup rw,cpu\n33 31 0:29 / /b rw - cgroup cgroup rw,cpu\n", "1:cpu:/x\n", cpuAt("/b", "/", "/b/x")},
		{"two mounts, the first is kept",
			"32 31 0:29 / /a rw - cgroup cgroup rw,cpu\n33 31 0:29 / /b rw - cgroup cgroup rw,cpu\n", "1:cpu:/x\n", cpuAt("/a", "/", "/a/x")},
		{"covered", "32 31 0:29 / /c rw - cgroup cgroup rw,cpu\n33 31 0:38 / /u rw - cgroup2 cgroup2 rw\n34 33 0:50 / /u rw - tmpfs none rw\n",
			"1:cpu:/x\n0::/\n", cpuAt("/c", "/", "/c/x")},
		{"mounted below another", "32 31 0:29 / /c rw - cgroup cgroup rw,cpu\n34 32 0:50 / /c/x rw - tmpfs none rw\n",
			"1:cpu:/x\n", cpuAt("/c", "/", "/c/x")},
		{"escaped", `32 31 0:29 / /my\040c\134g rw - cgroup cgroup rw,cpu`, "1:cpu:/\n", cpuAt(`/my c\g`, "/", `/my c\g`)},
		{"not by prefix", "32 31 0:29 / /c rw - cgroup cgroup rw,cpuset\n33 31 0:30 / /d rw - cgroup2x x rw,cpu\n", "1:cpu:/\n", Layout{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLayout([]byte(tt.mounts), []byte(tt.own))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
	for _, bad := range []string{"x\n", "1:cpu\n", "1:cpu:relative\n"} {
		if _, err := ParseLayout(nil, []byte(bad)); err == nil || !strings.Contains(err.Error(), "/proc/self/cgroup") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func FuzzParseLayout(f *testing.F) {
	f.Add([]byte(hybridMounts), []byte(hybridOwn))
	f.Add([]byte(`1 2 3 \04 \ - cgroup`), []byte("1:a,name=b,:/"))
	f.Fuzz(func(t *testing.T, mounts, own []byte) {
		ParseLayout(mounts, own)
	})
}

func TestNew(t *testing.T) {
	unified := Layout{Mode: Unified, Unified: "/cg", UnifiedOwn: "/cg/user/shell"}
	atRoot := Layout{Mode: Unified, Unified: "/cg", UnifiedOwn: "/cg"}
	for _, tt := range []struct {
		layout     Layout
		path, key  string
		want, note string
	}{
		{hybridLayout(), "", "cpu", "/sys/fs/cgroup/cpu,cpuacct/a:b/id", "default: below the own cgroup"},
		{hybridLayout(), "", "cpuset", "/sys/fs/cgroup/cpuset/id", ""},
		{hybridLayout(), "", "", "/sys/fs/cgroup/unified/user.slice/id", "beside the own cgroup there"},
		{hybridLayout(), "p/q", "name=systemd", "/sys/fs/cgroup/systemd/user.slice/p/q", "relative"},
		{hybridLayout(), "/p//./q/", "cpuacct", "/sys/fs/cgroup/cpu,cpuacct/p/q", "absolute"},
		{unified, "", "", "/cg/user/id", "beside the own cgroup, not in it"},
		{unified, "/p", "", "/cg/p", ""},
		{atRoot, "p", "", "/cg/p", "not above the mount point"},
	} {
		m, err := New(tt.layout, tt.path, "id")
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Paths()[tt.key]; got != tt.want {
			t.Errorf("path %q, %q: got %s, want %s (%s)", tt.path, tt.key, got, tt.want, tt.note)
		}
	}
	for _, bad := range []string{"..", "/..", "a/../b", "/a/..", "../x", "/", "//./", ".", "a\x00b"} {
		if _, err := New(hybridLayout(), bad, "id"); err == nil || !strings.Contains(err.Error(), "linux.cgroupsPath") {
			t.Errorf("cgroupsPath %q: error %v", bad, err)
		}
	}
}

func TestLoad(t *testing.T) {
	layout := hybridLayout()
	m, err := New(layout, "/p", "id")
	if err != nil {
		t.Fatal(err)
	}
	paths := m.Paths()
	loaded := Load(layout, paths)
	if got := loaded.Paths(); !reflect.DeepEqual(got, paths) {
		t.Errorf("got %v, want %v", got, paths)
	}
	if len(loaded.legacy) != len(m.legacy) {
		t.Errorf("%d directories, want %d: cpu and cpuacct are one", len(loaded.legacy), len(m.legacy))
	}
	if f := loaded.v1("cpu"); f.mount != "/sys/fs/cgroup/cpu,cpuacct" {
		t.Errorf("mount point %q", f.mount)
	}
	if f := Load(Layout{}, paths).v1("cpu"); f == nil || f.mount != "" {
		t.Errorf("without layout: %+v", f)
	}
	full := Load(Layout{}, map[string]string{"freezer": "/f", "pids": "/p", "cpu": "/c", "memory": "/m", "name=systemd": "/s"})
	var order []string
	for _, f := range full.legacy {
		order = append(order, f.keys[0])
	}
	if got := strings.Join(order, " "); got != "cpu memory name=systemd pids freezer" {
		t.Errorf("order of joining: %s", got)
	}
}

func TestSub(t *testing.T) {
	m, err := New(hybridLayout(), "/p", "id")
	if err != nil {
		t.Fatal(err)
	}
	for sub, want := range map[string][3]string{ // cpu, cpuset, cgroup2
		"a/b":          {"/p/a/b", "/p/a/b", "/p/a/b"},
		"/":            {"/p", "/p", "/p"},
		"cpu:/a":       {"/p/a", "/p", "/p"},
		"cpuset,cpu:a": {"/p/a", "/p/a", "/p"},

		"cpu,cpuacct:a":    {"/p/a", "/p", "/p"},
		":a":               {"/p", "/p", "/p/a"},
		"cpuset:a :b":      {"/p", "/p/a", "/p/b"},
		"cpu:a/b ,cpuset:": {"/p/a/b", "/p", "/p"},
	} {
		s, err := m.Sub(strings.Fields(sub)...)
		if err != nil {
			t.Fatal(err)
		}
		paths := s.Paths()
		for i, dir := range []string{"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/unified"} {
			if got := paths[[]string{"cpu", "cpuset", ""}[i]]; got != dir+want[i] {
				t.Errorf("%q: %s, want %s", sub, got, dir+want[i])
			}
		}
	}
	if got := m.Paths()["cpu"]; got != "/sys/fs/cgroup/cpu,cpuacct/p" {
		t.Errorf("Sub changed its receiver: %s", got)
	}
	for _, bad := range []string{"..", "a/../../b", "cpu:../x", "rdma:x", "a\x00", "a b", "cpu:a b", "cpu:a cpuacct:b"} {
		if _, err := m.Sub(strings.Fields(bad)...); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
