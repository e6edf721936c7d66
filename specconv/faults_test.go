package specconv

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// expect checks what Parse says to the example configuration after change: faults and, after
// "warning: " and "note: ", those.
func expect(t *testing.T, change func(s *specs.Spec), want ...string) {
	t.Helper()
	s := Example()
	change(s)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	b, faults, err := parse(text, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.Error())
	}
	for _, w := range b.Warnings {
		got = append(got, "warning: "+w)
	}
	for _, n := range b.Notes {
		got = append(got, "note: "+n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if _, err := Parse(text, "/bundle"); (err != nil) != (len(faults) > 0) {
		t.Errorf("Parse: %v", err)
	}
}

func without(s *specs.Spec, t specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
}

func TestExampleHasNoFaults(t *testing.T) {
	expect(t, func(*specs.Spec) {})
	expect(t, func(s *specs.Spec) { s.Process = nil })
}

func TestVersionFaults(t *testing.T) {
	for v, want := range map[string]string{
		"":             "ociVersion: is required",
		"1":            "ociVersion: must be a semantic version such as 1.3.0, not \"1\"",
		"1.0":          "ociVersion: must be a semantic version such as 1.3.0, not \"1.0\"",
		"v1.0.0":       "ociVersion: must be a semantic version such as 1.3.0, not \"v1.0.0\"",
		"01.0.0":       "ociVersion: must be a semantic version such as 1.3.0, not \"01.0.0\"",
		"1.0.0-":       "ociVersion: must be a semantic version such as 1.3.0, not \"1.0.0-\"",
		"1.0.0-01":     "ociVersion: must be a semantic version such as 1.3.0, not \"1.0.0-01\"",
		"2.0.0":        "ociVersion: 2.0.0 is not supported: the major version must be 1",
		"0.5.0":        "ociVersion: 0.5.0 is not supported: the major version must be 1",
		"1.9.0":        "note: ociVersion: 1.9.0 is newer than 1.3.0, up to which the specification is known",
		"1.0.2-dev":    "",
		"1.0.0-rc1+b7": "",
	} {
		var list []string
		if want != "" {
			list = []string{want}
		}
		expect(t, func(s *specs.Spec) { s.Version = v }, list...)
	}
}

func TestRootAndNameFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) { s.Root = nil }, "root: is required")
	expect(t, func(s *specs.Spec) { s.Root.Path = "" }, "root.path: is required")
	expect(t, func(s *specs.Spec) { s.Root.Path = "a\x00b" }, "root.path: must not contain a NUL byte")
	expect(t, func(s *specs.Spec) { without(s, "uts"); s.Domainname = "d" },
		"hostname: needs a uts namespace", "domainname: needs a uts namespace")
	expect(t, func(s *specs.Spec) { s.Hostname = strings.Repeat("h", 65) }, "hostname: must not be longer than 64 bytes")
	expect(t, func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }, `annotations[""]: a key must not be empty`)
}

func TestProcessFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) {
		p := s.Process
		p.Cwd = "home"
		p.Args = nil
		p.Env = []string{"A=b", "NOVALUE", "=x", "A=\x00", "B="}
		p.ConsoleSize = &specs.Box{Height: 65536, Width: 80}
		p.User = specs.User{UID: 1<<32 - 1, AdditionalGids: []uint32{5, 1<<32 - 1}, Umask: ptr(uint32(0o1000))}
		p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 2, Hard: 1}, {Type: "NOFILE"}, {Type: "RLIMIT_NOFILE"}}
		p.OOMScoreAdj = ptr(1001)
		p.Capabilities.Effective = append(p.Capabilities.Effective, "CAP_CHOWN", "CAP_X", "cap_kill")
		p.Capabilities.Ambient = []string{"CAP_KILL"}
	},
		"process.args: needs at least one entry",
		`process.env[1]: must be name=value, not "NOVALUE"`,
		"process.env[2]: must have a name before '='",
		"process.env[3]: must not contain a NUL byte",
		`process.cwd: must be absolute, not "home"`,
		"process.consoleSize.height: must be at most 65535, not 65536",
		"process.user.uid: 4294967295 is not an id: the kernel takes it as -1",
		"process.user.additionalGids[1]: 4294967295 is not an id: the kernel takes it as -1",
		"process.user.umask: must be at most 511 (octal 777), not 512",
		"process.rlimits[0].soft: 2 is greater than hard, 1",
		`process.rlimits[1].type: unknown limit "NOFILE"`,
		"process.rlimits[2].type: RLIMIT_NOFILE is there twice",
		"process.oomScoreAdj: must be from -1000 to 1000, not 1001",
		`note: process.capabilities.effective[4]: unknown capability "CAP_X", left out`,
		`note: process.capabilities.effective[5]: unknown capability "cap_kill", left out`,
		"note: process.capabilities.effective[3]: CAP_CHOWN is not permitted, left out",
		"note: process.capabilities.ambient[0]: CAP_KILL is not both permitted and inheritable, left out",
	)
	expect(t, func(s *specs.Spec) { // as Buildah writes it
		s.Process.Capabilities.Ambient = []string{"CAP_KILL", "CAP_AUDIT_WRITE", "CAP_CHOWN"}
		s.Process.Capabilities.Inheritable = nil
	}, "note: process.capabilities.ambient: CAP_KILL, CAP_AUDIT_WRITE, CAP_CHOWN are not both permitted and inheritable, left out")
	expect(t, func(s *specs.Spec) { // without a terminal its size is ignored
		s.Process.Terminal = false
		s.Process.ConsoleSize = &specs.Box{Height: 65536}
	})
	expect(t, func(s *specs.Spec) {
		p := s.Process
		p.Scheduler = &specs.Scheduler{Policy: "SCHED_X", Nice: 20, Priority: 1, Flags: []specs.LinuxSchedulerFlag{"F"}, Runtime: 1}
		p.IOPriority = &specs.LinuxIOPriority{Class: "", Priority: 8}
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-3,7", Final: "3-1"}
	},
		`process.scheduler.policy: unknown value "SCHED_X", must be one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE`,
		"process.scheduler.nice: must be from -20 to 19, not 20",
		"process.scheduler.priority: is only for SCHED_FIFO and SCHED_RR",
		`process.scheduler.flags[0]: unknown value "F", must be one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX`,
		"process.scheduler.runtime: is only for SCHED_DEADLINE",
		"process.ioPriority.class: is required: one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE",
		"process.ioPriority.priority: must be from 0 to 7, not 8",
		`process.execCPUAffinity.final: must be a list of numbers and ranges such as 0-3,7, not "3-1"`,
	)
}

func TestNamespaceFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"}, specs.LinuxNamespace{Type: "mnt"},
			specs.LinuxNamespace{}, specs.LinuxNamespace{Type: "cgroup", Path: "ns/cgroup"})
	},
		"linux.namespaces[5]: there is a pid namespace already",
		`linux.namespaces[6].type: unknown type "mnt"`,
		"linux.namespaces[7].type: is required",
		`linux.namespaces[8].path: must be absolute, not "ns/cgroup"`,
	)
	expect(t, func(s *specs.Spec) { without(s, "mount"); s.Linux.RootfsPropagation = "slave" },
		"linux.maskedPaths: needs a mount namespace", "linux.readonlyPaths: needs a mount namespace",
		"warning: mounts: are made in the runtime's mount namespace, where others see them, since the container has none of its own",
		"warning: linux.rootfsPropagation: has no effect, since the container has no mount namespace of its own")
	expect(t, func(s *specs.Spec) {
		without(s, "mount")
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user", Path: "/proc/1/ns/user"})
	}, "root.readonly: needs a mount namespace", "mounts: needs a mount namespace")
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5, Size: 10}, {ContainerID: 9, HostID: 100, Size: 1}, {ContainerID: 50}}
	expect(t, func(s *specs.Spec) { s.Linux.UIDMappings = ids },
		"linux.uidMappings: needs a user namespace",
		"linux.uidMappings[1]: overlaps with linux.uidMappings[0]",
		"linux.uidMappings[2].size: must be greater than 0")
	expect(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	},
		"linux.uidMappings: is required for a new user namespace", "linux.gidMappings: is required for a new user namespace")
	expect(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids[1:2], ids[:1]
	},
		"linux.uidMappings: must map containerID 0: the root of the namespace sets the container up")
	expect(t, func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"cpu": {Nanosecs: 1e9}} },
		"linux.timeOffsets: needs a new time namespace",
		`linux.timeOffsets.cpu: unknown value "cpu", must be one of boottime, monotonic`,
		"linux.timeOffsets.cpu.nanosecs: must be less than 1000000000")
}

func TestSysctlFaults(t *testing.T) {
	const host = ": belongs to no namespace: the setting would apply to the host"
	expect(t, func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{
			"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "1", "kernel.msgmax": "1", "fs.mqueue.msg_max": "1",
			"kernel.domainname": "d", "kernel.hostname": "h", "kernel.core_pattern": "|/x", "vm.swappiness": "1",
			"net..ipv4": "1", "net.ipv4.//.//.kernel.panic": "1", "net.x": "\x00", "": "1", "network.x": "1", "fs.mqueue": "1",
		}
	},
		`linux.sysctl[""]: is not a name of a kernel parameter`,
		`linux.sysctl["fs.mqueue"]`+host,
		`linux.sysctl["kernel.core_pattern"]`+host,
		`linux.sysctl["kernel.hostname"]: is set by hostname, which has another value`,
		`linux.sysctl["net..ipv4"]: is not a name of a kernel parameter`,
		`linux.sysctl["net.ipv4.//.//.kernel.panic"]: is not a name of a kernel parameter`,
		`linux.sysctl["net.x"]: must not contain a NUL byte`,
		`linux.sysctl["network.x"]`+host,
		`linux.sysctl["vm.swappiness"]`+host,
	)
	expect(t, func(s *specs.Spec) {
		s.Hostname, s.Domainname = "h", "d"
		s.Linux.Sysctl = map[string]string{"kernel.hostname": "h", "kernel.domainname": "d"}
	})
	expect(t, func(s *specs.Spec) {
		s.Hostname, s.Domainname = "h", "d"
		s.Linux.Sysctl = map[string]string{"kernel.hostname": "d", "kernel/domainname": "h"}
	},
		`linux.sysctl["kernel.hostname"]: is set by hostname, which has another value`,
		`linux.sysctl["kernel/domainname"]: conflicts with domainname, which has another value`)
	expect(t, func(s *specs.Spec) {
		s.Linux.Namespaces, s.Hostname = s.Linux.Namespaces[4:], ""
		s.Linux.Sysctl = map[string]string{"net.a": "", "fs.mqueue.a": "", "kernel.domainname": "", "kernel.hostname": "", "kernel.sem": "", "user.a": ""}
	},
		`linux.sysctl["fs.mqueue.a"]: needs an ipc namespace`, `linux.sysctl["kernel.domainname"]: needs a uts namespace`,
		`linux.sysctl["kernel.hostname"]: needs a uts namespace`, `linux.sysctl["kernel.sem"]: needs an ipc namespace`,
		`linux.sysctl["net.a"]: needs a network namespace`, `linux.sysctl["user.a"]: needs a user namespace`)
}

func TestLinuxFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) {
		l := s.Linux
		l.RootfsPropagation = "shard"
		l.MaskedPaths = []string{"/proc/kcore", "proc/keys", ""}
		l.ReadonlyPaths = []string{"/proc/\x00sys"}
		l.CgroupsPath = "/a/../../b"
		l.Devices = []specs.LinuxDevice{{Path: "dev/a", Type: "d", Major: -1, Minor: 1 << 20}, {Path: "/dev/p", Type: "p", Major: -5}}
		l.Personality = &specs.LinuxPersonality{Domain: "BSD", Flags: []specs.LinuxPersonalityFlag{"X"}}
	},
		`linux.devices[0].path: must be absolute, not "dev/a"`,
		`linux.devices[0].type: unknown value "d", must be one of c, b, u, p`,
		"linux.devices[0].major: must be from 0 to 4095, not -1",
		"linux.devices[0].minor: must be from 0 to 1048575, not 1048576",
		`linux.cgroupsPath: must not contain ".."`,
		`linux.rootfsPropagation: unknown mode "shard"`,
		`linux.maskedPaths[1]: must be absolute, not "proc/keys"`,
		"linux.maskedPaths[2]: is required",
		"linux.readonlyPaths[0]: must not contain a NUL byte",
		`linux.personality.domain: unknown value "BSD", must be one of LINUX, LINUX32`,
		"linux.personality.flags: no flags are supported",
	)
	expect(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:orlop:a..b" })
	expect(t, func(s *specs.Spec) {
		l := s.Linux
		l.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {Name: "a/b"}, "eth1": {Name: "eth2"}, "eth2": {},
			"e%d": {}, "eth4": {Name: "e%d"}, "eth5": {Name: "e%d"}, "eth6": {Name: "e%s"}, "eth7": {Name: "e%d%d"}, "eth8": {Name: "%e%d"}}
		l.IntelRdt = &specs.LinuxIntelRdt{ClosID: "..", L3CacheSchema: "L3:\x00", MemBwSchema: "L3:1", Schemata: []string{"a\nb"}}
		l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_BIND", Flags: []specs.MemoryPolicyFlagType{"F"}}
		l.MountLabel = "label"
		s.Process.ApparmorProfile, s.Process.SelinuxLabel = "p", "l"
	},
		`linux.netDevices["e%d"]: is not a name of a network device`,
		`linux.netDevices.eth0.name: "a/b" is not a name of a network device`,
		"linux.netDevices.eth2.name: is the name of linux.netDevices.eth1 too",
		`linux.netDevices.eth6.name: "e%s" is not a name of a network device`,
		`linux.netDevices.eth7.name: "e%d%d" is not a name of a network device`,
		`linux.netDevices.eth8.name: "%e%d" is not a name of a network device`,
		`linux.intelRdt.closID: ".." is not a valid directory name`,
		"linux.intelRdt.l3CacheSchema: must not contain a NUL byte",
		"linux.intelRdt.memBwSchema: must start with MB: and not contain newlines",
		"linux.intelRdt.schemata[0]: must not contain newlines",
		"linux.memoryPolicy.nodes: is required for MPOL_BIND",
		`linux.memoryPolicy.flags[0]: unknown value "F", must be one of MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES`,
	)
}

func TestResourceFaults(t *testing.T) {
	const path = "linux.resources."
	expect(t, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{
			Devices: []specs.LinuxDeviceCgroup{{Type: "u", Access: "rwx", Major: ptr(int64(-2))}, {Type: "a", Major: ptr(int64(-1))}},
			Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(50)), Reservation: ptr(int64(-2)),
				Swappiness: ptr(uint64(101))},
			CPU:     &specs.LinuxCPU{Quota: ptr(int64(-5)), Idle: ptr(int64(2)), Cpus: "a", Mems: "0-1"},
			Pids:    &specs.LinuxPids{Limit: ptr(int64(-2))},
			BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(5)), WeightDevice: make([]specs.LinuxWeightDevice, 1)},
			HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}, {Pagesize: "../x"}, {Pagesize: "B"}, {Pagesize: "64KB"},
				{Pagesize: "2M"}},
			Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}},
			Rdma:    map[string]specs.LinuxRdma{"mlx": {}, "a b": {HcaObjects: ptr(uint32(1))}},
			Unified: map[string]string{"memory.max": "1", "../x": "1"},
		}
	},
		path+`devices[0].type: unknown value "u", must be one of a, c, b`,
		path+"devices[0].major: must be from -1 to 4294967295, not -2",
		path+`devices[0].access: must be made of r, w and m, not "rwx"`,
		path+"memory.reservation: must be -1 (unlimited) or more, not -2",
		path+"memory.swap: is the limit of memory and swap together: must not be less than memory.limit",
		path+"memory.swappiness: must be from 0 to 100, not 101",
		path+"cpu.quota: must be -1 (unlimited) or more, not -5",
		path+"cpu.idle: must be 0 or 1, not 2",
		path+`cpu.cpus: must be a list of numbers and ranges such as 0-3,7, not "a"`,
		path+"pids.limit: must be -1 (unlimited) or more, not -2",
		path+"blockIO.weight: must be from 10 to 1000, not 5",
		path+"blockIO.weightDevice[0]: needs weight or leafWeight",
		path+`hugepageLimits[1].pageSize: must be a size such as 64KB, 2MB or 1GB, not "../x"`,
		path+`hugepageLimits[2].pageSize: must be a size such as 64KB, 2MB or 1GB, not "B"`,
		path+`hugepageLimits[4].pageSize: must be a size such as 64KB, 2MB or 1GB, not "2M"`,
		path+`network.priorities[0].name: "a b" is not a name of a network device`,
		path+`rdma["a b"]: is not a name of an RDMA device`,
		path+"rdma.mlx: needs hcaHandles or hcaObjects",
		path+`unified["../x"]: is not a name of a cgroup's file`,
	)
}

func TestHookFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{
			CreateRuntime: []specs.Hook{{Path: "/bin/a", Timeout: ptr(1)}, {Path: "b", Env: []string{"X"}}},
			Poststop:      []specs.Hook{{Timeout: ptr(0), Args: []string{"\x00"}}},
		}
	},
		`hooks.createRuntime[1].path: must be absolute, not "b"`,
		`hooks.createRuntime[1].env[0]: must be name=value, not "X"`,
		"hooks.poststop[0].path: is required",
		"hooks.poststop[0].args[0]: must not contain a NUL byte",
		"hooks.poststop[0].timeout: must be greater than 0, not 0",
	)
}

func TestSeccompFaults(t *testing.T) {
	expect(t, func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: "SCMP_ACT_ALLOW", DefaultErrnoRet: ptr(uint(1)), Architectures: []specs.Arch{"SCMP_ARCH_X86", "Z80"},
			Flags: []specs.LinuxSeccompFlag{"F"}, ListenerMetadata: "m",
			Syscalls: []specs.LinuxSyscall{{Action: "SCMP_ACT_ERRNO", ErrnoRet: ptr(uint(38)), Names: []string{"x"}},
				{Action: "NO", Args: []specs.LinuxSeccompArg{{Index: 6, Op: "EQ"}}}},
		}
	},
		"linux.seccomp.defaultErrnoRet: is not for SCMP_ACT_ALLOW",
		`linux.seccomp.architectures[1]: unknown architecture "Z80"`,
		`linux.seccomp.flags[0]: unknown value "F", must be one of SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`,
		"linux.seccomp.listenerMetadata: must not be set without listenerPath",
		"linux.seccomp.syscalls[1].names: needs at least one entry",
		`linux.seccomp.syscalls[1].action: unknown action "NO"`,
		"linux.seccomp.syscalls[1].args[0].index: must be from 0 to 5, not 6",
		`linux.seccomp.syscalls[1].args[0].op: unknown operator "EQ"`,
	)
}

// A process given to exec is checked as that of config.json, unsupported fields included.
func TestProcessAlone(t *testing.T) {
	p, warnings, err := ParseProcess([]byte(`{"args":["a"],"cwd":"/","user":{"uid":3,"username":"u"},"argz":1}`))
	if err != nil || p.User.UID != 3 {
		t.Fatal(p, err)
	}
	if got := strings.Join(warnings, "\n"); !strings.HasPrefix(got, "process.argz: unknown property") || !strings.Contains(got, "process.user.username: has no effect") {
		t.Errorf("warnings: %s", got)
	}
	_, _, err = ParseProcess([]byte(`{"args":"a","cwd":"x","apparmorProfile":"p"}`))
	const want = "2 faults:\n  process.args: must be an array, not a string\n  process.cwd: must be absolute, not \"x\""
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	var faults Faults
	if err := ValidateProcess(&specs.Process{Args: []string{"a"}}); !errors.As(err, &faults) || faults[0].Path != "process.cwd" {
		t.Errorf("%v", err)
	}
	if err := ValidateProcess(Example().Process); err != nil {
		t.Error(err)
	}
}

// Resources given to update are checked as those of config.json.
func TestResourcesAlone(t *testing.T) {
	r, warnings, err := ParseResources([]byte(`{"pids":{"limit":3},"cpu":null,"x":1}`))
	if err != nil || *r.Pids.Limit != 3 || len(warnings) != 1 || warnings[0] != "linux.resources.x: unknown property, ignored" {
		t.Fatal(r, warnings, err)
	}
	_, _, err = ParseResources([]byte(`{"memory":{"limit":[],"swap":-2},"devices":[{"type":"x"}]}`))
	const want = "3 faults:\n  linux.resources.memory.limit: must be a number, not an array\n  linux.resources.devices[0].type: unknown value \"x\", must be one of a, c, b\n" +
		"  linux.resources.memory.swap: must be -1 (unlimited) or more, not -2"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "{", "{}{}", "[]"} {
		if _, _, err := ParseResources([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestIntelRdtAlone(t *testing.T) {
	if err := ValidateIntelRdt(&specs.LinuxIntelRdt{ClosID: "/", L3CacheSchema: "L3CODE:0=f\nL3DATA:0=f"}); err != nil { // the latter is only warned about
		t.Error(err)
	}
	err := ValidateIntelRdt(&specs.LinuxIntelRdt{ClosID: "mon_groups"})
	if err == nil || err.Error() != `linux.intelRdt.closID: "mon_groups" is a directory that the resctrl filesystem reserves` {
		t.Error(err)
	}
}
