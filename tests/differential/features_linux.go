package main

import (
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func sortStrings(list []string) { slices.Sort(list) }

func specsMode(text string) os.FileMode { return os.FileMode(parseUnsigned(text)) }

// namespaceKinds are those of linux.namespaces and of what goes with them.
func namespaceKinds() map[string]kind {
	set := func(b *bundle, t specs.LinuxNamespaceType, path string, keep bool) {
		b.spec.Linux.Namespaces = slices.DeleteFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
		if keep {
			b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: t, Path: path})
		}
	}
	return map[string]kind{
		"ns": {14, 3, joined(oneOf("pid", "network", "ipc", "uts", "mount", "cgroup", "time"), oneOf("host", "host", "new", "joined", "hostpath", "twice", "badpath")), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			if value == "mount:joined" || value == "mount:hostpath" {
				return nil // There is nothing in the one, and the other's /proc is what the tester looks into.
			}
			t := specs.LinuxNamespaceType(parts[0])
			file := map[string]string{"network": "net", "mount": "mnt"}[parts[0]]
			if file == "" {
				file = parts[0]
			}
			switch parts[1] {
			case "host":
				set(b, t, "", false)
			case "new":
				set(b, t, "", true)
			case "joined":
				set(b, t, b.dir+"/ns/"+file, true)
				b.joined = append(b.joined, file)
			case "hostpath":
				set(b, t, "/proc/self/ns/"+file, true)
			case "twice":
				b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: t}, specs.LinuxNamespace{Type: t})
			case "badpath":
				set(b, t, "/etc/passwd", true)
			}
			return nil
		}},
		"userns": {10, 1, oneOf("0:100000:65536", "0:100000:65536", "0:0:65536", "1:100001:100", "0:100000:1", "none", "two", "overlap"), func(b *bundle, value string) error {
			set(b, specs.UserNamespace, "", true)
			var maps []specs.LinuxIDMapping
			switch value {
			case "none":
			case "two":
				maps = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 200000, Size: 1000}}
			case "overlap":
				maps = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 500, HostID: 200000, Size: 1000}}
			default:
				parts, err := fields(value, 3)
				if err != nil {
					return err
				}
				maps = []specs.LinuxIDMapping{{ContainerID: uint32(parseUnsigned(parts[0])), HostID: uint32(parseUnsigned(parts[1])), Size: uint32(parseUnsigned(parts[2]))}}
			}
			b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = maps, maps
			if value != "0:0:65536" {
				b.owner = 100000
			}
			return nil
		}},
		"maps": {1, 1, oneOf("alone"), always(func(b *bundle, _ string) {
			b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 10}}
		})},
		"hostname": {3, 1, oneOf("none", "other.name", "name-of-64-characters-which-is-the-most-that-linux-lets-have-a-host", "with space"), always(func(b *bundle, value string) { b.spec.Hostname = unnone(value) })},
		"domain":   {2, 1, oneOf("example.org", "other"), always(func(b *bundle, value string) { b.spec.Domainname = value })},
		"sysctl": {7, 2, oneOf("net.ipv4.ip_forward=1", "net/ipv4/ip_forward=1", "kernel.domainname=example.org", "kernel.hostname=x", "kernel.shm_rmid_forced=1", "fs.mqueue.msg_max=20",
			"kernel.msgmax=9000", "user.max_user_namespaces=5", "vm.swappiness=10", "net.nosuch=1", "net.ipv4.ping_group_range=0,5", "net.ipv4.ip_forward=x", "kernel.sem=1,2,3,4", "x=1"),
			always(func(b *bundle, value string) {
				name, setting, _ := strings.Cut(value, "=")
				if b.spec.Linux.Sysctl == nil {
					b.spec.Linux.Sysctl = map[string]string{}
				}
				b.spec.Linux.Sysctl[name] = strings.ReplaceAll(setting, ",", " ")
			})},
		"timeoffset": {1, 1, oneOf("monotonic:100", "boottime:5000", "realtime:5"), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			set(b, specs.TimeNamespace, "", true)
			b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{parts[0]: {Secs: int64(parseUnsigned(parts[1]))}}
			return nil
		}},
	}
}

func unnone(value string) string {
	if value == "none" {
		return ""
	}
	return value
}

// linuxKinds are those of the rest of config.json.
func linuxKinds() map[string]kind {
	return map[string]kind{
		"seccomp": {7, 1, oneOf(names(seccompProfiles())...), always(func(b *bundle, value string) { b.spec.Linux.Seccomp = seccompProfiles()[value] })},
		"annotation": {3, 2, oneOf("run.oci.keep_original_groups=1", "org.example.key=value", "run.oci.systemd.force_cgroup_v1=1", "org.systemd.property.TasksMax=5", "run.oci.handler=krun",
			"run.oci.mount_context_type=context", "empty="), always(func(b *bundle, value string) {
			name, text, _ := strings.Cut(value, "=")
			if b.spec.Annotations == nil {
				b.spec.Annotations = map[string]string{}
			}
			b.spec.Annotations[name] = text
		})},
		"rdt": {1, 1, oneOf("L3:0=f"), always(func(b *bundle, value string) { b.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: value} })},
	}
}

// seccompProfiles are filters by name.
func seccompProfiles() map[string]*specs.LinuxSeccomp {
	errno := uint(38)
	call := func(action specs.LinuxSeccompAction, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: action}
	}
	allow := func(calls ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: calls}
	}
	with := func(s *specs.LinuxSeccomp, change func(*specs.LinuxSeccomp)) *specs.LinuxSeccomp { change(s); return s }
	numbered := call(specs.ActErrno, "mkdir", "mkdirat")
	numbered.ErrnoRet = &errno
	argument := call(specs.ActErrno, "kill")
	argument.Args = []specs.LinuxSeccompArg{{Index: 1, Value: 10, Op: specs.OpEqualTo}}
	return map[string]*specs.LinuxSeccomp{
		"allow":        allow(),
		"mkdir":        allow(call(specs.ActErrno, "mkdir", "mkdirat")),
		"errno":        allow(numbered),
		"argument":     allow(argument),
		"unknown-call": allow(call(specs.ActErrno, "nosuchcall", "mkdir", "mkdirat")),
		"unknown-act":  allow(call("SCMP_ACT_NOSUCH", "mkdir")),
		"no-exec":      allow(call(specs.ActErrno, "execve", "execveat")),
		"kill-mkdir":   allow(call(specs.ActKillProcess, "mkdir", "mkdirat")),
		"log":          with(allow(call(specs.ActLog, "mkdir")), func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog} }),
		"flags":        with(allow(call(specs.ActErrno, "mkdir")), func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow} }),
		"unknown-flag": with(allow(), func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NOSUCH"} }),
		"architectures": with(allow(call(specs.ActErrno, "mkdir", "mkdirat")), func(s *specs.LinuxSeccomp) {
			s.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
		}),
		"unknown-arch":  with(allow(), func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{"SCMP_ARCH_NOSUCH"} }),
		"default-errno": {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read", "write", "close")}},
		"no-default":    {},
	}
}

// cgroupKinds are those of linux.resources and linux.cgroupsPath.
//
// long: a table
func cgroupKinds() map[string]kind {
	return map[string]kind{
		"memory": {5, 3, joined(oneOf("limit", "swap", "reservation", "swappiness", "kernel", "oomkill", "hierarchy"), oneOf("67108864", "33554432", "-1", "0", "1", "50")), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			n, err := number[int64](parts[1])
			if err != nil {
				return err
			}
			if b.resources().Memory == nil {
				b.resources().Memory = &specs.LinuxMemory{}
			}
			m := b.resources().Memory
			yes, u := true, uint64(*n)
			switch parts[0] {
			case "limit":
				m.Limit = n
			case "swap":
				m.Swap = n
			case "reservation":
				m.Reservation = n
			case "swappiness":
				m.Swappiness = &u
			case "kernel":
				m.Kernel = n //lint:ignore SA1019 configurations still have it
			case "oomkill":
				m.DisableOOMKiller = &yes
			case "hierarchy":
				m.UseHierarchy = &yes
			}
			return nil
		}},
		"cpu": {5, 3, oneOf("shares:512", "shares:1", "shares:0", "quota:50000", "quota:-1", "quota:1", "period:50000", "period:1", "cpus:0", "cpus:0-1", "cpus:99", "mems:0", "mems:x", "idle:1", "burst:1000"), func(b *bundle, value string) error {
			parts, err := fields(value, 2)
			if err != nil {
				return err
			}
			if b.resources().CPU == nil {
				b.resources().CPU = &specs.LinuxCPU{}
			}
			c := b.resources().CPU
			switch parts[0] {
			case "shares":
				c.Shares, err = number[uint64](parts[1])
			case "quota":
				c.Quota, err = number[int64](parts[1])
			case "period":
				c.Period, err = number[uint64](parts[1])
			case "cpus":
				c.Cpus = parts[1]
			case "mems":
				c.Mems = parts[1]
			case "idle":
				c.Idle, err = number[int64](parts[1])
			case "burst":
				c.Burst, err = number[uint64](parts[1])
			}
			return err
		}},
		"pids": {3, 1, oneOf("100", "-1", "0", "30", "-5"), func(b *bundle, value string) error {
			n, err := number[int64](value)
			if err == nil {
				b.resources().Pids = &specs.LinuxPids{Limit: n}
			}
			return err
		}},
		"unified": {2, 2, oneOf("memory.high=1000000000", "pids.max=50", "nosuch.file=1", "memory.max=x", "../escape=1"), always(func(b *bundle, value string) {
			name, text, _ := strings.Cut(value, "=")
			if b.resources().Unified == nil {
				b.resources().Unified = map[string]string{}
			}
			b.resources().Unified[name] = text
		})},
		"blkio": {1, 1, oneOf("100", "5", "1000"), func(b *bundle, value string) error {
			w, err := number[uint16](value)
			if err == nil {
				b.resources().BlockIO = &specs.LinuxBlockIO{Weight: w}
			}
			return err
		}},
		"hugepage": {1, 1, oneOf("2MB", "3MB"), always(func(b *bundle, value string) {
			b.resources().HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: value, Limit: 4194304}}
		})},
		"network": {1, 1, oneOf("class", "priority"), always(func(b *bundle, value string) {
			id := uint32(1048577)
			b.resources().Network = &specs.LinuxNetwork{ClassID: &id}
			if value == "priority" {
				b.resources().Network = &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}
			}
		})},
		"cgroup": {4, 1, oneOf("none", "nested", "trailing", "dots", "shared", "noresources"), always(func(b *bundle, value string) {
			switch value {
			case "none":
				b.spec.Linux.CgroupsPath = ""
			case "nested":
				b.spec.Linux.CgroupsPath += "/a/b"
			case "trailing":
				b.spec.Linux.CgroupsPath += "/a//b/"
			case "dots":
				b.spec.Linux.CgroupsPath += "/a/../b"
			case "shared":
				b.caller = append(b.caller, "join_cgroup "+b.cgroup)
			case "noresources":
				b.spec.Linux.Resources = nil
			}
		})},
	}
}
