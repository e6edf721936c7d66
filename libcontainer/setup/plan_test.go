package setup

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/golden"
)

// v1Facts are those of a host with v1 hierarchies.
func v1Facts() Facts {
	h := func(dir string, controllers ...string) CgroupHierarchy {
		return CgroupHierarchy{dir, controllers, "/sys/fs/cgroup/" + dir + "/orlop"}
	}
	return Facts{Cgroup: CgroupFacts{Hierarchies: []CgroupHierarchy{
		h("cpu,cpuacct", "cpu", "cpuacct"), h("memory", "memory"), h("systemd", "name=systemd"),
	}}}
}

func parse(t testing.TB, config []byte) *specconv.Bundle {
	t.Helper()
	b, err := specconv.Parse(config, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func marshal(t testing.TB, spec *specs.Spec) []byte {
	t.Helper()
	config, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// inUser is the example with a user namespace, a time namespace, the host's IPC namespace, and an
// id-mapped mount.
func inUser(t testing.TB, hostID uint32) []byte {
	t.Helper()
	spec := specconv.Example()
	l := spec.Linux
	l.Namespaces = slices.DeleteFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.IPCNamespace })
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.TimeNamespace})
	l.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: hostID, Size: 1}, {ContainerID: 1, HostID: 200000, Size: 1000}}
	l.GIDMappings = l.UIDMappings
	l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -3}, "boottime": {Secs: 1, Nanosecs: 2}}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/volume", Source: "/srv/volume", Options: []string{"rbind", "ridmap"}, Type: "bind"})
	spec.Process.ApparmorProfile, spec.Process.SelinuxLabel, l.MountLabel = "web", "system_u:system_r:container_t:s0", "system_u:object_r:container_file_t:s0"
	score := -1
	spec.Process.OOMScoreAdj = &score
	return marshal(t, spec)
}

func readConfig(t testing.TB, name string) []byte {
	t.Helper()
	config, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func deferredCgroups() []DeferredCgroup {
	return []DeferredCgroup{{"cpu,cpuacct", "/sys/fs/cgroup/cpu/web/tasks"}, {"freezer", "/sys/fs/cgroup/freezer/web/tasks"}}
}

// TestDeferredCgroup: the process joins its cgroup once, before the steps that depend on it, and
// otherwise after the mounts.
func TestDeferredCgroup(t *testing.T) {
	proc, device := specs.Mount{Destination: "/proc", Type: "proc"}, specs.Mount{Destination: "/data", Type: "ext4", Source: "/dev/vdb"}
	cgroup, bind := specs.Mount{Destination: "/cgroup", Type: "cgroup"}, specs.Mount{Destination: "/b", Type: "bind", Source: "/", Options: []string{"bind"}}
	for name, tc := range map[string]struct {
		mounts []specs.Mount
		before int // mounts
	}{
		"cgroup": {[]specs.Mount{proc, bind, cgroup, device}, 2},
		"device": {[]specs.Mount{proc, device, cgroup}, 1},
		"none":   {[]specs.Mount{proc, bind}, 2},
	} {
		spec := specconv.Example()
		spec.Mounts = tc.mounts
		p, err := Container(parse(t, marshal(t, spec)), Options{DeferredCgroups: deferredCgroups()}, v1Facts())
		if err != nil {
			t.Fatal(err)
		}
		at := index[joinDeferred](t, p)
		before := 0
		for i, s := range p.Steps {
			if is[joinDeferred](s) && i != at {
				t.Errorf("%s: joins twice", name)
			}
			if i < at && s.phase() == phaseMounts {
				before++
			}
		}
		if before != tc.before {
			t.Errorf("%s: joins after %d mounts, want %d", name, before, tc.before)
		}
		if err := p.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlans(t *testing.T) {
	unified := Facts{Cgroup: CgroupFacts{Unified: true, UnifiedPath: "/sys/fs/cgroup/orlop"}}
	cases := []struct {
		name   string
		config []byte
		o      Options
		f      Facts
	}{
		{"example", marshal(t, specconv.Example()), Options{StartSocket: true, Keyring: "_ses.web"}, v1Facts()},
		{"example-deferred", marshal(t, specconv.Example()), Options{Keyring: "_ses.web", JoinMemory: true, DeferredCgroups: deferredCgroups(), MemoryPath: "/sys/fs/cgroup/memory/web/tasks"},
			v1Facts()},
		{"example-unified", marshal(t, specconv.Example()), Options{}, unified},
		{"docker", readConfig(t, "docker.json"), Options{StartSocket: true, Keyring: "_ses.web", JoinCgroups: []nsenter.FD{TasksOf("pids"), TasksOf("freezer")}, JoinMemory: true},
			v1Facts()},
		{"everything", readConfig(t, "everything.json"), Options{StartSocket: true, NoPivot: true, NoNewKeyring: true, Inherit: 2,
			Share: &Share{"/run/orlop/web/notify", "/run/notify", "NOTIFY_SOCKET=/run/notify/notify.sock"}, PidVariable: "LISTEN_PID"},
			Facts{LastCap: 30, Grantable: 1<<29 - 1, RootParent: "/mnt", SourceIsFile: []bool{2: true}, DirectoryMode: []uint32{8: 0o755}}},
		{"user", inUser(t, 100000), Options{StartSocket: true},
			Facts{AppArmor: true, SELinux: true, Streams: StreamFacts{Given: [3]bool{true, true}, Owner: 101000, Null: [3]bool{2: true}}, Seccomp: &SeccompFilter{Program: make([]byte, 80), Notify: true}, Cgroup: v1Facts().Cgroup, UserFacts: UserFacts{HardLimits: make([]uint64, 16), Foreign: unix.CLONE_NEWIPC}}},
		{"ordinary-user", inUser(t, 1000), Options{},
			Facts{AppArmor: true, SELinux: true, Grantable: 1, Streams: StreamFacts{Given: [3]bool{true, true}, Owner: 2000}, UserFacts: UserFacts{Unprivileged: true, SetgroupsDenied: true, LeastOOMScore: new(int), Foreign: unix.CLONE_NEWNET}}},
		{"no-mount-namespace", []byte(`{"ociVersion":"1.0.0","root":{"path":"rootfs"},"process":{"args":["/bin/sh"],"cwd":"/"},"linux":{}}`), Options{}, Facts{Streams: StreamFacts{Given: [3]bool{false, true, true}, Null: [3]bool{true}}}},
		{"no-process", []byte(`{"ociVersion":"1.0.0","root":{"path":"rootfs"}}`), Options{StartSocket: true}, Facts{}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Container(parse(t, tc.config), tc.o, tc.f)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, tc.name+".golden", p.String())
			if err := p.Verify(); err != nil {
				t.Error(err)
			}
			if _, err := p.Lower(); err != nil {
				t.Error(err)
			}
			rehearse(t, tc.name, p)
		})
	}
}

func TestPlanJSON(t *testing.T) {
	p, err := Container(parse(t, marshal(t, specconv.Example())), Options{StartSocket: true, Keyring: "_ses.web"}, v1Facts())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "example.json.golden", text.String()+"\n")
}

func BenchmarkPlan(b *testing.B) {
	bundle := parse(b, marshal(b, specconv.Example()))
	f := v1Facts()
	b.ReportAllocs()
	for b.Loop() {
		p, err := Container(bundle, Options{StartSocket: true, Keyring: "_ses.web"}, f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Lower(); err != nil {
			b.Fatal(err)
		}
	}
}
