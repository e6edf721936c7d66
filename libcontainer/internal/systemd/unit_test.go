package systemd

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct{ path, id, bus, want string }{
		{"", "c1", "system", "orlop-c1.scope in system.slice: /system.slice/orlop-c1.scope"},
		{"", "c1", "user", "orlop-c1.scope in user.slice: /user.slice/orlop-c1.scope"},
		{"::c1", "", "system", "-c1.scope in system.slice: /system.slice/-c1.scope"},
		{":docker:0123", "", "user", "docker-0123.scope in user.slice: /user.slice/docker-0123.scope"},
		{"machine.slice:libpod:0123", "", "system", "libpod-0123.scope in machine.slice: /machine.slice/libpod-0123.scope"},
		{"kubepods-burstable-pod1_2.slice:cri-containerd:ab", "", "system",
			"cri-containerd-ab.scope in kubepods-burstable-pod1_2.slice: " +
				"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ab.scope"},
		{"-.slice:a:b", "", "system", "a-b.scope in -.slice: /a-b.scope"},
		{"system.slice:ignored:a-b.slice", "", "system", "a-b.slice in : /a.slice/a-b.slice"},
		{"::cpuset.slice", "", "system", "cpuset.slice in : /_cpuset.slice"},
		{"io.slice:_a:b", "", "system", "_a-b.scope in io.slice: /_io.slice/__a-b.scope"},
		{":cgroup.a:b", "", "system", "cgroup.a-b.scope in system.slice: /system.slice/_cgroup.a-b.scope"},
		{`a.slice:b:c\x2d:`, "", "system", `"a.slice:b:c\\x2d:": must be SLICE:PREFIX:NAME when systemd manages cgroups`},
		{"/some/path", "c1", "system", `"/some/path": must be SLICE:PREFIX:NAME when systemd manages cgroups`},
		{"", "a+b", "system", `unit "orlop-a+b.scope": '+' cannot be in the name of a unit`},
		{"", strings.Repeat("x", 255), "system", `unit "orlop-` + strings.Repeat("x", 255) + `.scope": longer than 255 bytes`},
		{":a:../x", "", "system", `unit "a-../x.scope": '/' cannot be in the name of a unit`},
		{"a/b.slice:a:b", "", "system", `slice "a/b.slice": '/' cannot be in the name of a unit`},
		{"..slice:a:b", "", "system", "a-b.scope in ..slice: /_..slice/a-b.scope"},
		{"a:b:c", "", "system", `slice "a": its name must end in .slice`},
		{"a--b.slice:b:c", "", "system", `slice "a--b.slice": a dash must stand between two names`},
		{"-a.slice:b:c", "", "system", `slice "-a.slice": a dash must stand between two names`},
		{"a-.slice:b:c", "", "system", `slice "a-.slice": a dash must stand between two names`},
		{".slice:b:c", "", "system", `slice ".slice": a dash must stand between two names`},
		{"::.slice", "", "system", `slice ".slice": a dash must stand between two names`},
	} {
		got := ""
		if u, err := ParsePath(c.path, c.id, Bus(c.bus)); err != nil {
			got = err.Error()
		} else {
			got = u.Name + " in " + u.Slice + ": " + u.Path()
		}
		if got != c.want {
			t.Errorf("%q, %q, %s:\ngot  %s\nwant %s", c.path, c.id, c.bus, got, c.want)
		}
	}
}

// FuzzParsePath: for any path, the unit's cgroup is below the manager's.
func FuzzParsePath(f *testing.F) {
	f.Add("machine.slice:libpod:0123", "x")
	f.Add("a-b.slice:..:../..", "..")
	f.Fuzz(func(t *testing.T, path, id string) {
		u, err := ParsePath(path, id, System)
		if err != nil {
			return
		}
		p := u.Path()
		if !strings.HasPrefix(p, "/") {
			t.Errorf("%q: path %q", path, p)
		}
		for part := range strings.SplitSeq(p[1:], "/") {
			if part == "" || part == "." || part == ".." {
				t.Errorf("%q: path %q", path, p)
			}
		}
	})
}
