package e2e

import (
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// unset returns the reason why TestEveryField leaves a field out.
func unset(path string) string {
	for prefix, why := range map[string]string{
		"Solaris": "for another platform", "Windows": "for another platform", "VM": "for another platform", "ZOS": "for another platform", "FreeBSD": "for another platform",
		"Process.CommandLine":             "for Windows",
		"Process.User.Username":           "for Windows",
		"Hooks.Prestart":                  "deprecated; run by TestHookOrder",
		"Linux.IntelRdt":                  "needs a processor with it; run by TestIntelRDT on a fake one",
		"Linux.Resources":                 "each field is set by TestResources",
		"Linux.Seccomp.Listener":          "needs an agent; run by TestSeccompAgent",
		"Linux.UIDMappings[].ContainerID": "0 is root",
		"Linux.GIDMappings[].ContainerID": "0 is root",
		"Linux.Namespaces[].Path":         "new ones are wanted; joined by TestNamespaceMatrix",
		"Linux.Devices[].UID":             "in a user namespace a node is the host's; set by TestDevices",
		"Linux.Devices[].GID":             "in a user namespace a node is the host's; set by TestDevices",
		"Linux.Devices[].FileMode":        "in a user namespace a node is the host's; set by TestDevices",
		"Process.Scheduler.Priority":      "of real-time policies; set by TestRealTime",
		"Process.Scheduler.Runtime":       "of SCHED_DEADLINE; set by TestScheduler",
		"Process.Scheduler.Deadline":      "of SCHED_DEADLINE; set by TestScheduler",
		"Process.Scheduler.Period":        "of SCHED_DEADLINE; set by TestScheduler",
		"Process.ApparmorProfile":         "needs AppArmor; set by TestAppArmor",
		"Process.Terminal":                "set by TestConsoleSocket",
		"Process.ConsoleSize":             "set by TestConsoleSocket",
		"Linux.Seccomp.DefaultErrnoRet":   "not for the action; set by TestSeccompErrno",
		"Linux.Personality.Flags":         "the specification has none",
	} {
		if strings.HasPrefix(path, prefix) {
			return why
		}
	}
	return ""
}

// empties names the fields of a configuration that are not set.
func empties(path string, v reflect.Value) (list []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return []string{path}
		}
		if v.Elem().Kind() == reflect.Struct {
			return empties(path, v.Elem())
		}
		return nil
	case reflect.Struct:
		for i := range v.NumField() {
			list = append(list, empties(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))...)
		}
		return list
	case reflect.Slice:
		if v.Len() == 0 {
			return []string{path}
		}
		if v.Index(0).Kind() == reflect.Struct {
			// A field counts as set when an element has it.
			for i := range v.Len() {
				missing := empties(path+"[]", v.Index(i))
				if i > 0 {
					missing = slices.DeleteFunc(missing, func(m string) bool { return !slices.Contains(list, m) })
				}
				list = missing
			}
		}
		return list
	}
	if v.IsZero() {
		return []string{path}
	}
	return nil
}

// everything sets all fields that can be set together.
func everything(b *harness.Box, volume string) *specs.Spec {
	s, maps := b.Spec, shifted()
	caps := []string{"CAP_KILL", "CAP_NET_BIND_SERVICE"}
	hook := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 0"}, Env: []string{"A=b"}, Timeout: new(int)}}
	*hook[0].Timeout = 20
	umask, score := uint32(0o077), 99
	code := uint(38)
	s.Version = "1.3.0"
	s.Domainname = "domain.example"
	s.Annotations = map[string]string{"org.example": "x"}
	s.Root.Readonly = true
	s.Hooks = &specs.Hooks{CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
	s.Mounts = append(s.Mounts, mappedMount(volume, maps, maps, "rbind", "idmap"), specs.Mount{Destination: "/work", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=777"}})
	p := s.Process
	p.User = specs.User{UID: 1000, GID: 1001, Umask: &umask, AdditionalGids: []uint32{5, 6}}
	p.Env = append(p.Env, "KEY=value")
	p.Cwd = "/work"
	p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
	p.OOMScoreAdj = &score
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 8, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
	p.SelinuxLabel = "system_u:system_r:container_t:s0"
	p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 5}
	p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
	p.Args = []string{"sh", "-c", `hostname; cat /proc/sys/kernel/domainname; echo $(id -u) $(id -G); umask; pwd; echo $KEY
stat -c %u:%g /volume/file; ls /sys/class/net | grep inside; cat /proc/self/personality; cat /proc/self/stat | cut -d' ' -f19; cat /proc/self/oom_score_adj`}
	l := s.Linux
	l.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	harness.WithNamespace("cgroup", "")(s)
	harness.WithNamespace("time", "")(s)
	l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 5, Nanosecs: 6}}
	l.Devices = []specs.LinuxDevice{{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5}}
	l.NetDevices = map[string]specs.LinuxNetDevice{"every0": {Name: "inside0"}}
	l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"kexec_load"}, Action: specs.ActErrno, ErrnoRet: &code,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 2, ValueTwo: 2, Op: specs.OpMaskedEqual}}}}}
	l.RootfsPropagation = "rslave"
	l.MountLabel = "system_u:object_r:container_file_t:s0"
	l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	return s
}

// TestEveryField: a configuration with every optional field set runs.
func TestEveryField(t *testing.T) {
	harness.OrlopOnly(t, "others lack some")
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (Debian: iproute2), for a network device")
	}
	b := harness.New(t, withUser(shifted()), harness.Writable)
	needSeccomp(t, b)
	own(t, b, 100000)
	dir := volume(t, b, 5, 6)
	network := newNetwork(b)
	network.sh("ip link add every0 type veth peer name every1")
	b.Spec = everything(b, dir)
	for _, path := range empties("", reflect.ValueOf(*b.Spec)) {
		if unset(path) == "" {
			t.Errorf("%s is not set", path)
		}
	}
	if _, err := os.Stat("/sys/fs/selinux/policyvers"); err != nil {
		b.Spec.Process.SelinuxLabel = "" // which is refused without SELinux
	}
	b.Write()
	want := "box\ndomain.example\n1001 5 6\n0077\n/work\nvalue\n5:6\ninside0\n00000000\n8\n99\n"
	if got := network.run(b).OK(b); strings.Replace(got, "1000 1001", "1001", 1) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.CheckClean()
}
