package specconv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/golden"
)

func describe(m *Mount) string {
	return fmt.Sprintf("set=%#x clear=%#x rset=%#x rclear=%#x prop=%#x bind=%v,%v remount=%v copyup=%v super=%q data=%q",
		m.AttrSet, m.AttrClear, m.RecAttrSet, m.RecAttrClear, m.Propagation, m.Bind, m.Recursive, m.Remount, m.TmpCopyUp,
		m.SuperFlags, m.Data)
}

// Each option alone, and those combinations whose order matters.
func TestMountOptionsGolden(t *testing.T) {
	var b strings.Builder
	lines := MountOptionNames()
	lines = append(lines, "ro,rw", "rw,ro", "noatime,strictatime", "strictatime,atime", "noatime,atime", "noatime,relatime",
		"rnoatime,ratime", "rro,rrw", "nosuid,suid", "suid,nosuid", "sync,async", "sync,sync,dirsync", "shared,rprivate",
		"rbind,ro,rro,nosuid", "mode=755,nosuid,size=64k")
	for _, line := range lines {
		var m Mount
		for o := range strings.SplitSeq(line, ",") {
			if !m.addOption(o) {
				m.Data = append(m.Data, o)
			}
		}
		fmt.Fprintf(&b, "%-22s %s\n", line, describe(&m))
	}
	golden.Check(t, "mountoptions.golden", b.String())
}

func TestMountOptionNames(t *testing.T) {
	names := MountOptionNames()
	// The table of config.md, runtime-spec 1.3.
	const spec = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
		noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount
		rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared
		rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup
		unbindable idmap ridmap`
	for _, o := range strings.Fields(spec) {
		if !slices.Contains(names, o) {
			t.Errorf("%s is missing", o)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("not sorted, or not unique")
	}
	for _, n := range names { // the table is searched by halves
		if !new(Mount).addOption(n) {
			t.Errorf("%s is not found", n)
		}
	}
}

func TestMountFaults(t *testing.T) {
	mount := func(m specs.Mount, want ...string) {
		t.Helper()
		expect(t, func(s *specs.Spec) { s.Mounts = []specs.Mount{m} }, want...)
	}
	bind := func(destination string, options ...string) specs.Mount {
		return specs.Mount{Destination: destination, Type: "none", Source: "/src", Options: append(options, "rbind")}
	}
	mount(bind("/a", "ro", "rro", "rprivate", "acl"))
	mount(bind("/a", "sise=1k", "ro", "RO"), `mounts[0].options[0]: unknown option "sise=1k" of a bind mount`,
		`mounts[0].options[2]: unknown option "RO" of a bind mount: did you mean ro?`)
	for option, advice := range map[string]string{
		"readonly": ": use ro", "raedonly": "", "nosiud": ": did you mean nosuid?", "no-exec": ": did you mean noexec?", "rprvate": ": did you mean rprivate?",
		"Z": ": the engine labels the source; linux.mountLabel is for other mounts", "xyz": "", "r0": ": did you mean ro?",
		strings.Repeat("long", 1000): "", "users": ": in fstab it stands for noexec, nosuid and nodev",
	} {
		mount(bind("/a", option), fmt.Sprintf("mounts[0].options[0]: unknown option %q of a bind mount%s", option, advice))
	}
	mount(bind("/a", "nofail", "x-systemd.automount", "comment=mine", "cached", "rsync", "rnomand", "mode=755", "size=1k")) // which ask for nothing
	mount(specs.Mount{Destination: "/a", Type: "tmpfs", Options: []string{"anything"}})
	mount(specs.Mount{Destination: "/a", Type: "ext4", Options: []string{"iversion"}},
		"note: mounts[0].options[0]: iversion has no effect: fsconfig(2) has no such flag")
	mount(bind("", "ro"), "mounts[0].destination: is required")
	mount(bind("a/b"), "note: mounts[0].destination: is relative, which is deprecated; taken from /")
	mount(bind("/a\x00"), "mounts[0].destination: must not contain a NUL byte")
	mount(bind("/a", "x\x00"), "mounts[0].options[0]: must not contain a NUL byte")
	mount(specs.Mount{Destination: "/a", Options: []string{"bind"}}, "mounts[0].source: is required for a bind mount")
	mount(specs.Mount{Destination: "/a"}, "mounts[0].type: is required for a mount that is not a bind mount")
	mount(specs.Mount{Destination: "/a", Options: []string{"remount", "ro"}})
	mount(specs.Mount{Destination: "/a", Type: "bind", Source: "/b"},
		"note: mounts[0].options: neither bind nor rbind is there; taken as bind because of the type")
	mount(specs.Mount{Destination: "/a", Type: "tmpfs", Options: []string{"copy-symlink"}},
		"mounts[0].options: copy-symlink, src-nofollow and dest-nofollow are only for bind mounts")
	mount(bind("/a", "idmap=x"), `mounts[0].options[0]: "x" is neither uids nor gids`,
		"mounts[0].options: idmap needs uidMappings and gidMappings, or a user namespace to take them from")
	mount(bind("/a", "tmpcopyup"), "mounts[0].options: tmpcopyup is only for tmpfs")
	mount(bind("/a", "idmap"), "mounts[0].options: idmap needs uidMappings and gidMappings, or a user namespace to take them from")
	mapped := bind("/a")
	mapped.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	mount(mapped, "mounts[0]: uidMappings and gidMappings must be given together")
	mapped.GIDMappings = mapped.UIDMappings
	mount(mapped)
	mapped.Options = append(mapped.Options, "remount", "ridmap")
	mount(mapped, "mounts[0].options: idmap is not for a remount")
}

// TestIDMapOption: the maps that crun's options have in one string.
func TestIDMapOption(t *testing.T) {
	own := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 2000, Size: 100}}
	for _, c := range []struct{ option, uids, gids, problem string }{
		{"idmap=uids=0-100-10#20-30-1;gids=0-200-10", "[[0 100 10] [20 30 1]]", "[[0 200 10]]", ""},
		{"ridmap=uids=@7-3-10;gids=@0-0-1#5-6-7;", "[[7 2002 10]]", "[[0 1000 1] [5 6 7]]", ""},
		{"idmap=", "[]", "[]", ""},
		{"idmap=uids=0-0-1", "", "", "needs both uids and gids, or neither"},
		{"idmap=uids=0-0;gids=0-0-1", "", "", `"0-0" is no range of ids: three numbers such as 0-1000-10`},
		{"idmap=uids=0-0-x;gids=0-0-1", "", "", `"0-0-x" is no range of ids: three numbers such as 0-1000-10`},
		{"idmap=uids=0-0-0;gids=0-0-1", "", "", `"0-0-0" is no range of ids: its length is wrong`},
		{"idmap=uids=0-4294967295-2;gids=0-0-1", "", "", `"0-4294967295-2" is no range of ids: its length is wrong`},
		{"idmap=uids=@0-50-60;gids=0-0-1", "", "", `"@0-50-60" is not in one range of the container's user namespace, as linux.uidMappings and linux.gidMappings have them`},
		{"idmap=sids=0-0-1", "", "", `"sids" is neither uids nor gids`},
	} {
		k := checker{spec: &specs.Spec{Linux: &specs.Linux{UIDMappings: own, GIDMappings: own}}}
		m := Mount{}
		problem := k.idMapOption(&m, c.option)
		if problem != c.problem {
			t.Errorf("%s: %q, want %q", c.option, problem, c.problem)
		} else if uids, gids := fmt.Sprint(plainMap(m.IDMap.UIDs)), fmt.Sprint(plainMap(m.IDMap.GIDs)); problem == "" &&
			(uids != c.uids || gids != c.gids || m.IDMap.Recursive != (c.option[0] == 'r')) {
			t.Errorf("%s: %s, %s, recursive %v", c.option, uids, gids, m.IDMap.Recursive)
		}
	}
}

func plainMap(list []specs.LinuxIDMapping) [][3]uint32 {
	plain := [][3]uint32{}
	for _, m := range list {
		plain = append(plain, [3]uint32{m.ContainerID, m.HostID, m.Size})
	}
	return plain
}

func TestMountsOverProc(t *testing.T) {
	for destination, bad := range map[string]string{
		"/proc":                                  "/proc must be of type proc",
		"/proc/.":                                "/proc must be of type proc",
		"//a/../proc/":                           "/proc must be of type proc",
		"proc":                                   "/proc must be of type proc",
		"/proc/self":                             "/proc/self is inside /proc, and must not be mounted over",
		"/proc/self/attr/../attr":                "/proc/self/attr is inside /proc, and must not be mounted over",
		"/proc/sys":                              "/proc/sys is inside /proc, and must not be mounted over",
		"/proc/net/dev":                          "/proc/net/dev is inside /proc, and must not be mounted over",
		"/proc/cpuinfo":                          "",
		"/proc/sys/kernel/../kernel/ns_last_pid": "",
		"/process":                               "",
		"/a/proc":                                "",
	} {
		for _, m := range []specs.Mount{
			{Destination: destination, Type: "tmpfs", Source: "tmpfs"},
			{Destination: destination, Source: "/src", Options: []string{"bind"}},
			{Destination: destination, Type: "proc", Source: "/src", Options: []string{"bind"}},
		} {
			s := Example()
			s.Mounts = []specs.Mount{m}
			text, _ := json.Marshal(s)
			want := ""
			if bad != "" {
				want = "mounts[0].destination: " + bad
			}
			got := ""
			if _, err := Parse(text, "/b"); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%+v: got %q, want %q", m, got, want)
			}
		}
	}
	expect(t, func(s *specs.Spec) { // the host's procfs itself, as Podman does for --pid=host
		s.Mounts = []specs.Mount{{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind"}}}
	})
}

func TestParsedMounts(t *testing.T) {
	s := Example()
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "data//x/../y", Type: "none", Source: "vol", Options: []string{"rbind", "ro", "sync"}})
	text, _ := json.Marshal(s)
	b, err := Parse(text, "/bundle/")
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != "/bundle" || b.Rootfs != "/bundle/rootfs" || len(b.Mounts) != len(b.Spec.Mounts) {
		t.Errorf("%+v", b)
	}
	var out strings.Builder
	for i, m := range b.Mounts {
		if m.Index != i {
			t.Errorf("index %d at %d", m.Index, i)
		}
		fmt.Fprintf(&out, "%s on %s type %s: %s\n", m.Source, m.Destination, m.Type, describe(&m))
	}
	golden.Check(t, "mounts.golden", out.String())
	for i, n := range b.Namespaces {
		if got, ok := b.Namespace(n.Type); !ok || got != n || n.Index != i {
			t.Errorf("namespace %d: %+v", i, got)
		}
	}
	if _, ok := b.Namespace(specs.UserNamespace); ok {
		t.Error("there is no user namespace")
	}
}
