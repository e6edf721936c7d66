package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// fakeHost makes an asking that finds these files in the place of the host's.
func fakeHost(t *testing.T, files map[string]string) *asking {
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
	return &asking{root: root, ids: ids{uid: 1000, gid: 1000, uids: idmap.Initial(), gids: idmap.Initial()}}
}

func TestEveryKindHasAProbe(t *testing.T) {
	seen := map[needs.Kind]bool{}
	for _, p := range probes() {
		if seen[p.kind] {
			t.Errorf("two probes for %s", p.kind)
		}
		seen[p.kind] = true
	}
	for _, kind := range needs.Kinds() {
		if !seen[kind] {
			t.Errorf("no probe for %s", kind)
		}
	}
	if err := (&asking{}).ask(needs.Need{Kind: "nothing"}); err == nil {
		t.Error("a kind that is not there")
	}
}

// TestFeaturesOfHost: this kernel has what containers need, or the tests of those could not run. As
// an ordinary user some cannot be told.
func TestFeaturesOfHost(t *testing.T) {
	a := &asking{}
	if err := a.begin(); err != nil {
		t.Fatal(err)
	}
	for _, f := range needs.Features() {
		if featureProbe(f.Name) == nil {
			t.Errorf("no probe for %s", f.Name)
		}
		err := a.ask(featureNeed(f.Name))
		lack := (*Lack)(nil)
		if f.Always && err != nil || errors.As(err, &lack) && lack.Since != f.Since {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if a.ask(featureNeed("none")) == nil {
		t.Error("a feature that is not there")
	}
}

func TestAskFakeHost(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"/proc/filesystems":                          "nodev\tproc\n\text4\nnodev\tresctrl\n",
		"/proc/sys/kernel/osrelease":                 "6.1.0-test\n",
		"/lib/modules/6.1.0-test/modules.dep":        "kernel/fs/xfs/xfs.ko.xz: kernel/lib/crc.ko\n",
		"/proc/self/ns/net":                          "",
		"/proc/self/ns/user":                         "",
		"/proc/self/ns/uts":                          "",
		"/proc/sys/user/max_uts_namespaces":          "0\n",
		"/proc/sys/user/max_net_namespaces":          "100\n",
		"/proc/sys/kernel/unprivileged_userns_clone": "0\n",
		"/proc/sys/fs/nr_open":                       "1024\n",
		"/proc/sys/kernel/seccomp/actions_avail":     "kill_thread trap errno trace allow\n",
		"/sys/module/apparmor/parameters/enabled":    "Y\n",
		"/sys/kernel/security/apparmor/profiles":     "web (enforce)\ntwo words (complain)\n",
		"/sys/devices/system/cpu/online":             "0-1,4\n",
		"/sys/devices/system/node/has_memory":        "0\n",
		"/proc/self/mountinfo":                       "31 23 0:28 / /sys/fs/resctrl rw,relatime shared:1 - resctrl resctrl rw\n",
		"/sys/fs/resctrl/info/L3/num_closids":        "16\n",
		"/etc/subuid":                                "someone:5:10\n1000:100000:65536\n# 1000:7:9\n",
		"/etc/subgid":                                "",
	})
	ids := func(list ...uint32) (maps []specs.LinuxIDMapping) {
		for i := 0; i < len(list); i += 2 {
			maps = append(maps, specs.LinuxIDMapping{ContainerID: uint32(i) * 100000, HostID: list[i], Size: list[i+1]})
		}
		return maps
	}
	for _, tc := range []struct {
		need  needs.Need
		lacks string // "": it has it
	}{
		{needs.Need{Kind: needs.FileSystem, Name: "ext4"}, ""},
		{needs.Need{Kind: needs.FileSystem, Name: "nonesuchfs"}, "no filesystem nonesuchfs"},
		{needs.Need{Kind: needs.FileSystem, Name: "proc.sub"}, ""},
		{needs.Need{Kind: needs.Disk, Name: "/no/such/disk", Of: "ext4"}, "/no/such/disk: no such file"},
		{needs.Need{Kind: needs.Disk, Name: "LABEL=x", Of: "ext4"}, ""},
		{needs.Need{Kind: needs.Disk, Name: "/no/such/disk", Of: "proc"}, ""},
		{needs.Need{Kind: needs.Namespace, Name: "network"}, ""},
		{needs.Need{Kind: needs.Namespace, Name: "uts"}, "user.max_uts_namespaces is 0"},
		{needs.Need{Kind: needs.Namespace, Name: "time"}, "no time namespaces (since Linux 5.6)"},
		{needs.Need{Kind: needs.Namespace, Name: "user"}, "unprivileged_userns_clone"},
		{needs.Need{Kind: needs.Limit, Name: "RLIMIT_NOFILE", Of: "1025"}, "fs.nr_open, 1024"},
		{needs.Need{Kind: needs.Limit, Name: "RLIMIT_CORE", Of: "0"}, ""},
		{needs.Need{Kind: needs.SeccompAction, Name: "SCMP_ACT_ERRNO"}, ""},
		{needs.Need{Kind: needs.SeccompAction, Name: "SCMP_ACT_NOTIFY"}, "user_notif (since Linux 5.0)"},
		{needs.Need{Kind: needs.AppArmor, Name: "web"}, ""},
		{needs.Need{Kind: needs.AppArmor, Name: "two words"}, ""},
		{needs.Need{Kind: needs.AppArmor, Name: "unconfined"}, ""},
		{needs.Need{Kind: needs.AppArmor, Name: "two"}, "the AppArmor profile two is not loaded"},
		{needs.Need{Kind: needs.Processors, Name: "3-4"}, ""},
		{needs.Need{Kind: needs.Processors, Name: "2,3"}, "none of the processors 2,3"},
		{needs.Need{Kind: needs.MemoryNodes, Name: "0"}, ""},
		{needs.Need{Kind: needs.MemoryNodes, Name: "0-1"}, "no memory node 1"},
		{needs.Need{Kind: needs.Capability, Name: "CAP_SYS_ADMIN"}, "the caller lacks CAP_SYS_ADMIN"},
		{needs.Need{Kind: needs.UserIDs, IDs: ids(1000, 1)}, ""},
		{needs.Need{Kind: needs.UserIDs, IDs: ids(100001, 65535, 1000, 1)}, programLack("newuidmap")},
		{needs.Need{Kind: needs.UserIDs, IDs: ids(1000, 1, 100000, 65537)}, "/etc/subuid gives the caller no range with the host ids 100000-165536"},
		{needs.Need{Kind: needs.UserIDs, IDs: ids(5, 1)}, "no range with the host ids 5"},
		{needs.Need{Kind: needs.GroupIDs, IDs: ids(100000, 2)}, "/etc/subgid gives the caller no range"},
		{needs.Need{Kind: needs.Interface, Name: "lo"}, ""},
		{needs.Need{Kind: needs.Interface, Name: "nonesuch0"}, "no network interface nonesuch0"},
		{needs.Need{Kind: needs.Clock, Name: "monotonic", Of: "-1000000000"}, "it would be negative"},
		{needs.Need{Kind: needs.Clock, Name: "boottime", Of: "1000000000"}, ""},
		{needs.Need{Kind: needs.NamespaceFile, Name: "/proc/self/ns/uts", Of: "uts"}, ""},
		{needs.Need{Kind: needs.NamespaceFile, Name: "/proc/self/ns/uts", Of: "ipc"}, "another type"},
		{needs.Need{Kind: needs.HostProgram, Name: "/bin/sh"}, ""},
		{needs.Need{Kind: needs.HostProgram, Name: "/etc/passwd"}, "permission denied"},
		{needs.Need{Kind: needs.Socket, Name: "/etc/passwd"}, "not a socket"},
		{needs.Need{Kind: needs.Device, Name: "/dev/null"}, ""},
		{needs.Need{Kind: needs.Device, Name: "/etc/passwd"}, "not a device"},
		{needs.Need{Kind: needs.Writable, Name: t.TempDir() + "/a/b/c"}, ""},
		{needs.Need{Kind: needs.Writable, Name: "/etc/passwd/x"}, "not a directory"},
		{needs.Need{Kind: needs.SeccompFlag, Name: "SECCOMP_FILTER_FLAG_LOG"}, ""},
	} {
		err := h.ask(tc.need)
		lack := (*Lack)(nil)
		if tc.lacks == "" && err != nil || tc.lacks != "" && (!errors.As(err, &lack) || !strings.Contains(lack.Error(), tc.lacks)) {
			t.Errorf("%+v: %v, want %q", tc.need, err, tc.lacks)
		}
	}
}

// programLack is part of the error that names a missing program, "" if it is installed.
func programLack(program string) string {
	for _, dir := range strings.Split(os.Getenv("PATH"), ":") {
		if unix.Access(filepath.Join(dir, program), unix.X_OK) == nil {
			return ""
		}
	}
	return program + " is not installed"
}

// TestResctrl looks for the filesystem, its mount point and its resources.
func TestResctrl(t *testing.T) {
	const kinds, mount = "nodev\tresctrl\n", "1 2 0:3 / %s rw - resctrl resctrl rw\n"
	ask := func(files map[string]string, name string) error {
		return fakeHost(t, files).resctrl(needs.Need{Kind: needs.Resctrl, Name: name})
	}
	whole := map[string]string{"/proc/filesystems": kinds, "/proc/self/mountinfo": strings.Replace(mount, "%s", "/sys/fs/resctrl", 1),
		"/sys/fs/resctrl/info/L3/x": ""}
	for _, tc := range []struct {
		files map[string]string
		name  string
		lacks string
	}{
		{whole, "", ""},
		{whole, "L3", ""},
		{whole, "MB", "does not have the resource MB"},
		{map[string]string{"/proc/filesystems": kinds, "/proc/self/mountinfo": ""}, "", "not mounted"},
		{map[string]string{"/proc/filesystems": "nodev\tproc\n"}, "L3", "no resource control"},
	} {
		if err := ask(tc.files, tc.name); (err == nil) != (tc.lacks == "") || err != nil && !strings.Contains(err.Error(), tc.lacks) {
			t.Errorf("%q: %v, want %q", tc.name, err, tc.lacks)
		}
	}
}

// TestNested: in a user namespace there are the ids that it has, and no others.
func TestNested(t *testing.T) {
	h := fakeHost(t, nil)
	h.ids = ids{uids: []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}}
	h.rights = Rights{Effective: 1<<unix.CAP_SETUID | 1<<unix.CAP_SYS_RESOURCE, Nested: true}
	list := func(host uint32) needs.Need {
		return needs.Need{Kind: needs.UserIDs, IDs: []specs.LinuxIDMapping{{HostID: host, Size: 1}}}
	}
	if err := h.ask(list(0)); err != nil {
		t.Error(err)
	}
	if err := h.ask(list(1)); err == nil || !strings.Contains(err.Error(), "do not all exist") {
		t.Error(err)
	}
	var own unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, nil, &own); err != nil || own.Max == unix.RLIM_INFINITY {
		t.Skip("the limit cannot be raised")
	}
	if err := h.ask(needs.Need{Kind: needs.Limit, Name: "RLIMIT_MSGQUEUE", Of: "18446744073709551615"}); err == nil {
		t.Error("a limit that takes a right over the host")
	}
}
