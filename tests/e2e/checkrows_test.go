package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// agreement is a configuration, the user that runs it, and the expected problems.
type agreement struct {
	name   string
	change func(b *harness.Box)
	wrap   []string
	// paths are prefixes of the problems' paths, each of at least one; "" means that it runs.
	paths string
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
			must(b.T, os.WriteFile(filepath.Join(b.Rootfs, name), []byte(content), mode))
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
		{"a small memory limit", resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: limit(int64(8 << 20))} }), nil, ""},
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
		{"a directory for a program", spec(harness.Args("/bin")), nil, "process.args[0]"},
		{"a file for a working directory", spec(func(s *specs.Spec) { s.Process.Cwd = "/etc/passwd" }), nil, "process.cwd"},
		{"a working directory that is made", spec(harness.Writable, func(s *specs.Spec) { s.Process.Cwd = "/made" }), nil, ""},
	}, mountAgreements(), namespaceAgreements(), callerAgreements(), rootlessAgreements(), restAgreements())
}

func mountAgreements() []agreement {
	mount := func(destination, kind, source string, options ...string) func(*harness.Box) {
		return func(b *harness.Box) { harness.WithMount(destination, kind, source, options...)(b.Spec) }
	}
	tools := func(b *harness.Box, options ...string) {
		dir := filepath.Join(b.Dir, "tools")
		must(b.T, os.Mkdir(dir, 0o755))
		must(b.T, os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o755))
		harness.WithMount("/opt/tools", "bind", dir, options...)(b.Spec)
		b.Spec.Process.Args = []string{"/opt/tools/tool"}
	}
	return []agreement{
		{"a source that is not there", mount("/mnt", "bind", "/no/such/source", "bind"), nil, "mounts[7].source"},
		{"a filesystem that is not there", mount("/mnt", "nonesuchfs", "none"), nil, "mounts[7].type"},
		{"an option that is not there", mount("/mnt", "tmpfs", "tmpfs", "nosuid", "nonesuch=1"), nil, "mounts[7].options[1]"},
		{"a value that is none", mount("/mnt", "tmpfs", "tmpfs", "size=many"), nil, "mounts[7].options[0]"},
		{"a disk that is not there", mount("/mnt", "ext4", "/dev/nonesuch"), nil, "mounts[7].source"},
		{"a layer that is not there", mount("/mnt", "overlay", "overlay", "lowerdir=/no/such/layer:/etc"), nil, "mounts[7].options"},
		{"options of a bind mount", mount("/mnt", "bind", "/etc", "rbind", "rro", "nosymfollow", "rslave"), nil, ""},
		{"a program on a bind mount", func(b *harness.Box) { tools(b, "bind") }, nil, ""},
		{"a program on a bind mount with noexec", func(b *harness.Box) { tools(b, "bind", "noexec") }, nil, "process.args[0]"},
		{"a program that a mount hides", mount("/bin", "tmpfs", "tmpfs"), nil, "process.args[0]"},
		{"a program behind links", func(b *harness.Box) {
			must(b.T, os.Symlink("/opt/../bin", filepath.Join(b.Rootfs, "opt")))
			must(b.T, os.Symlink("../../../../bin", filepath.Join(b.Rootfs, "way")))
			b.Spec.Process.Args = []string{"/way/true"}
		}, nil, ""},
		{"an id-mapped mount", func(b *harness.Box) {
			dir := hostDir(b.T, b, "volume")
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
			own(b.T, b, int(list[0].HostID))
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
			asOrdinary(b.T, b)
			for _, c := range changes {
				c(b.Spec)
			}
		}
	}
	more := func(host uint32) func(*specs.Spec) {
		return withUser([]specs.LinuxIDMapping{{HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: host, Size: 65536}})
	}
	ranges := ""
	if _, err := exec.LookPath("newuidmap"); err != nil {
		ranges = "linux.uidMappings linux.gidMappings" // which nobody assigns then
	}
	return []agreement{
		{"rootless", rootless(), nil, ""},
		{"rootless: subordinate ids", rootless(more(subordinate)), nil, ranges},
		{"rootless: ids of others", rootless(more(subordinate + 1)), nil, "linux.uidMappings linux.gidMappings"},
		{"rootless: no user namespace", rootless(harness.WithoutNamespace("user"), func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil }),
			nil, "linux.namespaces process"},
		{"rootless: a filesystem of root's", rootless(harness.WithMount("/mnt", "ext4", "/dev/null")), nil, "mounts[7].type"},
		{"rootless: an unreadable source", func(b *harness.Box) {
			rootless()(b)
			dir := filepath.Join(b.Dir, "closed")
			must(b.T, os.MkdirAll(filepath.Join(dir, "volume"), 0o700))
			harness.WithMount("/mnt", "bind", filepath.Join(dir, "volume"), "bind")(b.Spec)
			must(b.T, os.Chmod(dir, 0o700))
		}, nil, "mounts[7].source"},
		{"rootless: the host's network", rootless(harness.WithoutNamespace("network")), nil, ""},
		{"rootless: limits without a cgroup", rootless(func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: limit(int64(64 << 20))}}
		}), nil, ""},
		{"rootless: an additional group", rootless(func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0} }), nil, "process.user"},
		{"rootless: a device that the host lacks", rootless(func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/nonesuch", Type: "c", Major: 10, Minor: 250}}
		}), nil, "linux.devices[0]"},
	}
}

// restAgreements depend on what only some hosts have.
func restAgreements() []agreement {
	spec := func(change func(*specs.Spec)) func(*harness.Box) { return func(b *harness.Box) { change(b.Spec) } }
	global := func(change func(*specs.Spec), args ...string) func(*harness.Box) {
		return func(b *harness.Box) {
			change(b.Spec)
			b.Global = args
		}
	}
	missing := func(path, file string) string {
		if _, err := os.Stat(file); err == nil {
			return ""
		}
		return path
	}
	realTime := ""
	if groups, _ := filepath.Glob("/sys/fs/cgroup/cpu*/cpu.rt_runtime_us"); groups != nil {
		realTime = "process.scheduler"
	}
	fifo := func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1} }
	return []agreement{
		{"systemd", global(func(s *specs.Spec) { s.Linux.CgroupsPath = "" }, "--systemd-cgroup"), nil, missing("linux.cgroupsPath", "/run/systemd/system")},
		{"no cgroup", global(func(s *specs.Spec) {
			s.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		}, "--cgroup-manager", "disabled"), nil, ""},
		{"a network device that is not there", spec(func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"nonesuch0": {}} }),
			nil, "linux.netDevices"},
		{"a profile that is not loaded", spec(func(s *specs.Spec) { s.Process.ApparmorProfile = "orlop-nonesuch" }), nil, "process.apparmorProfile"},
		{"a memory node that is not there", spec(func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "63"}
		}),
			nil, "linux.memoryPolicy"},
		{"resource control", spec(func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "orlop-nonesuch"} }),
			nil, missing("linux.intelRdt", "/sys/fs/resctrl/schemata")},
		{"an agent that is not there", spec(func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/no/such/agent",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}
		}), nil, "linux.seccomp.listenerPath"},
		{"a real-time process", spec(fifo), nil, realTime},
		{"a real-time process without CAP_SYS_NICE", spec(fifo), lacking("sys_nice"), "process.scheduler"},
		{"an I/O priority without rights", func(b *harness.Box) {
			asOrdinary(b.T, b)
			b.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT}
		}, nil, "process.ioPriority"},
		{"processors that are not there", spec(func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1023"} }), nil, ""},
	}
}
