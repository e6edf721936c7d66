package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// report is what check prints.
type report struct {
	OK              bool
	Misses, Unknown []struct{ Path, Kind, Name, Lacks, Since string }
	Warnings        []string
}

// check asks whether the box's container can run here. A command may be put before the runtime's.
func check(t *testing.T, b *harness.Box, wrap ...string) (report, harness.Result) {
	t.Helper()
	c := b.Cmd("check", "--bundle", b.Bundle, "--format", "json", b.ID)
	c.Wrap = append(wrap, c.Wrap...)
	r := c.Run()
	var got report
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatalf("check: %v: %s%s", err, r.Stdout, r.Stderr)
	}
	if got.OK != (r.Status == 0) || got.OK != (len(got.Misses) == 0) || r.Status > 1 {
		t.Errorf("status %d with %s", r.Status, r.Stdout)
	}
	return got, r
}

// lacking is a command that runs another one without a capability.
func lacking(capability string) []string {
	return []string{"setpriv", "--bounding-set", "-" + capability}
}

// limited is a command that runs another one as root of a user namespace in which no more namespaces of a kind can be made.
func limited(kind string) []string {
	return []string{"unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 > /proc/sys/user/max_" + kind + "_namespaces && exec \"$@\"", "sh"}
}

// agreement is a configuration, who runs it, and what is to be missing.
type agreement struct {
	name   string
	change func(b *harness.Box)
	wrap   []string
	paths  string // with which those of the misses begin, each of at least one; "": it runs
}

func agreements() []agreement {
	spec := func(changes ...func(*specs.Spec)) func(*harness.Box) {
		return func(b *harness.Box) {
			for _, c := range changes {
				c(b.Spec)
			}
		}
	}
	resources := func(change func(*specs.LinuxResources)) func(*harness.Box) {
		return spec(func(s *specs.Spec) { change(s.Linux.Resources) })
	}
	file := func(name, content string, mode os.FileMode) func(*harness.Box) {
		return func(b *harness.Box) {
			must(b.T.(*testing.T), os.WriteFile(filepath.Join(b.Rootfs, name), []byte(content), mode))
			b.Spec.Process.Args = []string{"/" + name}
		}
	}
	rlimit := func(kind string, hard uint64) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: kind, Hard: hard}} }
	}
	return slices.Concat([]agreement{
		{"the example", spec(), nil, ""},
		{"a sysctl of the network namespace", spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} }), nil, ""},
		{"a sysctl that is not there", spec(func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.none": "1"} }), nil, "linux.sysctl"},
		{"a time namespace", spec(harness.WithNamespace("time", "")), nil, ""},
		{"a clock before its beginning", spec(harness.WithNamespace("time", ""), func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: -1 << 40}}
		}), nil, "linux.timeOffsets"},
		{"a limit of open files", spec(rlimit("RLIMIT_NOFILE", 2048)), nil, ""},
		{"more open files than the host has", spec(rlimit("RLIMIT_NOFILE", 1<<40)), nil, "process.rlimits[0]"},
		{"a hook", spec(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, Poststop: []specs.Hook{{Path: "/no/such"}}}
		}), nil, ""},
		{"a hook that is not there", spec(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/no/such/hook"}}}
		}), nil, "hooks.createContainer[0].path"},
		{"a hook in the container", spec(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/true"}}}
		}), nil, ""},
		{"a hook that is not in the container", spec(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/usr/bin/unshare"}}}
		}), nil, "hooks.startContainer[0].path"},
		{"a small memory limit", resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: new64(8 << 20)} }), nil, ""},
		{"huge pages of a size that is not there", resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		}), nil, "linux.resources.hugepageLimits[0]"},
		{"an RDMA device", resources(func(r *specs.LinuxResources) {
			r.Rdma = map[string]specs.LinuxRdma{"none": {HcaObjects: new(uint32)}}
		}), nil, "linux.resources.rdma"},
		{"a disk that is not there", resources(func(r *specs.LinuxResources) {
			d := specs.LinuxThrottleDevice{Rate: 1 << 20}
			d.Major, d.Minor = 4000, 4000
			r.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{d}}
		}), nil, "linux.resources.blockIO.throttleReadBpsDevice[0]"},
		{"no such unified file", resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"nonesuch.max": "1"} }), nil, "linux.resources.unified"},
		{"another architecture", file("other", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff\x00\x01\x00\x00\x00", 0o755), nil, "process.args[0]"},
		{"no program at all", file("text", "just text\n", 0o755), nil, "process.args[0]"},
		{"a script", file("script", "#!/bin/sh\nexit 0\n", 0o755), nil, ""},
		{"a script without its interpreter", file("script", "#!/usr/bin/none\n", 0o755), nil, "process.args[0]"},
		{"not executable", file("script", "#!/bin/sh\n", 0o644), nil, "process.args[0]"},
		{"not executable by this user", func(b *harness.Box) {
			file("script", "#!/bin/sh\n", 0o700)(b)
			b.Spec.Process.User = specs.User{UID: 1000, GID: 1000}
		}, nil, "process.args[0]"},
		{"no program of this name", spec(harness.Args("nonesuch")), nil, "process.args[0]"},
		{"a folder for a program", spec(harness.Args("/bin")), nil, "process.args[0]"},
		{"a file for a working folder", spec(func(s *specs.Spec) { s.Process.Cwd = "/etc/passwd" }), nil, "process.cwd"},
		{"a working folder that is made", spec(harness.Writable, func(s *specs.Spec) { s.Process.Cwd = "/made" }), nil, ""},
	}, mountAgreements(), namespaceAgreements(), callerAgreements(), rootlessAgreements())
}

func mountAgreements() []agreement {
	mount := func(destination, kind, source string, options ...string) func(*harness.Box) {
		return func(b *harness.Box) { harness.WithMount(destination, kind, source, options...)(b.Spec) }
	}
	tools := func(b *harness.Box, options ...string) {
		dir := filepath.Join(b.Dir, "tools")
		must(b.T.(*testing.T), os.Mkdir(dir, 0o755))
		must(b.T.(*testing.T), os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o755))
		harness.WithMount("/opt/tools", "bind", dir, options...)(b.Spec)
		b.Spec.Process.Args = []string{"/opt/tools/tool"}
	}
	return []agreement{
		{"a source that is not there", mount("/mnt", "bind", "/no/such/source", "bind"), nil, "mounts[7].source"},
		{"a file system that is not there", mount("/mnt", "nonesuchfs", "none"), nil, "mounts[7].type"},
		{"an option that is not there", mount("/mnt", "tmpfs", "tmpfs", "nosuid", "nonesuch=1"), nil, "mounts[7].options[1]"},
		{"a value that is none", mount("/mnt", "tmpfs", "tmpfs", "size=many"), nil, "mounts[7].options[0]"},
		{"a disk that is not there", mount("/mnt", "ext4", "/dev/nonesuch"), nil, "mounts[7].source"},
		{"a layer that is not there", mount("/mnt", "overlay", "overlay", "lowerdir=/no/such/layer:/etc"), nil, "mounts[7].options"},
		{"options of a bind mount", mount("/mnt", "bind", "/etc", "rbind", "rro", "nosymfollow", "rslave"), nil, ""},
		{"a program on a bind mount", func(b *harness.Box) { tools(b, "bind") }, nil, ""},
		{"a program on a bind mount with noexec", func(b *harness.Box) { tools(b, "bind", "noexec") }, nil, "process.args[0]"},
		{"a program that a mount hides", mount("/bin", "tmpfs", "tmpfs"), nil, "process.args[0]"},
		{"a program behind links", func(b *harness.Box) {
			must(b.T.(*testing.T), os.Symlink("/opt/../bin", filepath.Join(b.Rootfs, "opt")))
			must(b.T.(*testing.T), os.Symlink("../../../../bin", filepath.Join(b.Rootfs, "way")))
			b.Spec.Process.Args = []string{"/way/true"}
		}, nil, ""},
		{"an id-mapped mount", func(b *harness.Box) {
			dir := hostDir(b.T.(*testing.T), b, "volume")
			harness.WithMount("/mnt", "bind", dir, "bind", "idmap")(b.Spec)
			b.Spec.Mounts[7].UIDMappings, b.Spec.Mounts[7].GIDMappings = shifted(), shifted()
		}, nil, ""},
		{"an id-mapped mount of procfs", func(b *harness.Box) {
			harness.WithMount("/mnt", "bind", "/proc", "bind", "idmap")(b.Spec)
			b.Spec.Mounts[7].UIDMappings, b.Spec.Mounts[7].GIDMappings = shifted(), shifted()
		}, nil, "mounts[7]"},
	}
}

func namespaceAgreements() []agreement {
	namespace := func(kind specs.LinuxNamespaceType, path string) func(*harness.Box) {
		return func(b *harness.Box) { harness.WithNamespace(kind, path)(b.Spec) }
	}
	user := func(list []specs.LinuxIDMapping) func(*harness.Box) {
		return func(b *harness.Box) {
			withUser(list)(b.Spec)
			own(b.T.(*testing.T), b, int(list[0].HostID))
		}
	}
	unmapped := func(b *harness.Box) {
		user([]specs.LinuxIDMapping{{HostID: 100000, Size: 1}})(b)
		b.Spec.Process.User.UID = 7
	}
	return []agreement{
		{"no such namespace", namespace("network", "/no/such/namespace"), nil, "linux.namespaces[4].path"},
		{"a file that is no namespace", namespace("network", "/etc/passwd"), nil, "linux.namespaces[4].path"},
		{"a namespace of another type", namespace("network", "/proc/self/ns/uts"), nil, "linux.namespaces[4].path"},
		{"a namespace to join", namespace("network", "/proc/self/ns/net"), nil, ""},
		{"a user namespace", user(shifted()), nil, ""},
		{"a user that is not mapped", unmapped, nil, "process.user.uid"},
		{"a group for devpts that is not mapped", user([]specs.LinuxIDMapping{{HostID: 100000, Size: 1}}), nil, "mounts[2].options[5]"},
		{"no more network namespaces", func(*harness.Box) {}, limited("net"), "linux.namespaces[1].type"},
		{"ids that the caller does not have", user(shifted()), []string{"unshare", "--user", "--map-root-user"}, "linux.uidMappings linux.gidMappings"},
	}
}

func callerAgreements() []agreement {
	none := func(*harness.Box) {}
	return []agreement{
		{"without CAP_SYS_ADMIN", none, lacking("sys_admin"), "linux.namespaces"},
		{"without CAP_SETPCAP", none, lacking("setpcap"), "process.capabilities.bounding"},
		{"without CAP_SETUID", func(b *harness.Box) { b.Spec.Process.User.UID = 1000 }, lacking("setuid"), "process.user.uid"},
		{"without CAP_SETGID", none, lacking("setgid"), "process.user"},
		{"without CAP_NET_ADMIN", none, lacking("net_admin"), "linux.namespaces[1]"},
		{"limits without CAP_SYS_RESOURCE", func(b *harness.Box) {
			b.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 1 << 20}}
		}, []string{"prlimit", "--core=0:0", "setpriv", "--bounding-set", "-sys_resource"}, "process.rlimits[0]"},
		{"a user without rights", none, []string{"setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups"},
			"linux.namespaces process.capabilities.bounding process.user"},
	}
}

// rootlessAgreements are those of an ordinary user.
func rootlessAgreements() []agreement {
	rootless := func(changes ...func(*specs.Spec)) func(*harness.Box) {
		return func(b *harness.Box) {
			asOrdinary(b.T.(*testing.T), b)
			for _, c := range changes {
				c(b.Spec)
			}
		}
	}
	more := func(host uint32) func(*specs.Spec) {
		return withUser([]specs.LinuxIDMapping{{HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: host, Size: 65536}})
	}
	return []agreement{
		{"rootless", rootless(), nil, ""},
		{"rootless: subordinate ids", rootless(more(subordinate)), nil, ""},
		{"rootless: ids of others", rootless(more(subordinate + 1)), nil, "linux.uidMappings linux.gidMappings"},
		{"rootless: no user namespace", rootless(harness.WithoutNamespace("user"), func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil }),
			nil, "linux.namespaces process"},
		{"rootless: a file system of root's", rootless(harness.WithMount("/mnt", "ext4", "/dev/null")), nil, "mounts[7].type"},
		{"rootless: an unreadable source", func(b *harness.Box) {
			rootless()(b)
			dir := filepath.Join(b.Dir, "closed")
			must(b.T.(*testing.T), os.MkdirAll(filepath.Join(dir, "volume"), 0o700))
			harness.WithMount("/mnt", "bind", filepath.Join(dir, "volume"), "bind")(b.Spec)
			must(b.T.(*testing.T), os.Chmod(dir, 0o700))
		}, nil, "mounts[7].source"},
		{"rootless: the host's network", rootless(harness.WithoutNamespace("network")), nil, ""},
		{"rootless: limits without a cgroup", rootless(func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new64(64 << 20)}}
		}), nil, ""},
		{"rootless: an additional group", rootless(func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} }), nil, "process.user"},
		{"rootless: a device that the host lacks", rootless(func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/nonesuch", Type: "c", Major: 10, Minor: 250}}
		}), nil, "linux.devices[0]"},
	}
}

func new64(n int64) *int64 { return &n }

// TestCheckAgrees: check says no exactly when run fails, and names the field.
func TestCheckAgrees(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	for _, a := range agreements() {
		t.Run(a.name, func(t *testing.T) {
			b := harness.New(t)
			must(t, os.Chmod(b.Dir, 0o777)) // the state folder is made by whoever runs it
			a.change(b)
			b.Write()
			before := tree(t, b.Dir)
			got, r := check(t, b, a.wrap...)
			if after := tree(t, b.Dir); after != before {
				t.Errorf("check has made something: %s, before %s", after, before)
			}
			b.CheckClean()
			run := b.Cmd("run", "--bundle", b.Bundle, b.ID)
			run.Wrap = append(a.wrap, run.Wrap...)
			if ran := run.Run(); (ran.Status == 0) != got.OK {
				t.Errorf("check says %s%s, and run: status %d: %s", r.Stdout, r.Stderr, ran.Status, ran.Stderr)
			}
			var missing []string
			for _, m := range got.Misses {
				missing = append(missing, m.Path)
			}
			if !begin(missing, strings.Fields(a.paths)) {
				t.Errorf("missing: %q, want %q: %s", missing, a.paths, r.Stdout)
			}
		})
	}
}

// begin reports whether each path begins with one of the wanted ones, and none of these is left.
func begin(paths, wanted []string) bool {
	seen := map[string]bool{}
	for _, p := range paths {
		i := slices.IndexFunc(wanted, func(w string) bool { return strings.HasPrefix(p, w) })
		if i < 0 {
			return false
		}
		seen[wanted[i]] = true
	}
	return len(seen) == len(wanted)
}

// tree lists what is below a folder, but for the files that take the output of commands.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := filepath.Base(path); !strings.HasPrefix(name, "std") {
			names = append(names, path)
		}
		return nil
	}))
	return strings.Join(names, "\n")
}

// TestCheckOutput: what is wrong with the configuration is told with what the host lacks, and text says the same as JSON.
func TestCheckOutput(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	b := harness.New(t, harness.WithMount("/mnt", "bind", "/no/such/source", "bind"), harness.Args("nonesuch"))
	b.Spec.Process.Cwd = "relative"
	b.Write()
	got, _ := check(t, b)
	var paths []string
	for _, m := range got.Misses {
		paths = append(paths, m.Path)
	}
	for _, want := range []string{"process.cwd", "mounts[7].source", "process.args[0]"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not among %q", want, paths)
		}
	}
	r := b.Do("check", "--bundle", b.Bundle)
	for _, m := range got.Misses {
		if !strings.Contains(r.Stdout, "missing: "+m.Path+": "+m.Lacks) {
			t.Errorf("no line for %s: %s", m.Path, r.Stdout)
		}
	}
	if r.Status != 1 || !strings.Contains(r.Stdout, "cannot run it: 3 missing") {
		t.Errorf("status %d: %s", r.Status, r.Stdout)
	}
}
