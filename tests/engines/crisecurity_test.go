package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	pb "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/orlop/orlop/tests/harness"
)

// testCRIResources: limits hold, can be changed, and are accounted.
func testCRIResources(t *testing.T, c *cri) {
	p := c.pod(t, "resources")
	id := p.start(t, "limited", func(config *pb.ContainerConfig) {
		config.Linux.Resources = &pb.LinuxContainerResources{
			CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, CpusetCpus: "0", OomScoreAdj: 500,
		}
	})
	files := "memory/memory.limit_in_bytes memory.max cpu/cpu.cfs_quota_us cpu.max cpuset/cpuset.cpus cpuset.cpus"
	read := func() string {
		t.Helper()
		return c.exec(t, id, "cd /sys/fs/cgroup; cat "+files+" 2>/dev/null; cat /proc/1/oom_score_adj")
	}
	quota := func(number string) string {
		if c.s.v2 {
			return number + " 100000"
		}
		return number
	}
	equal(t, "limits", read(), "67108864\n"+quota("50000")+"\n0\n500")
	if _, err := c.UpdateContainerResources(c.time(t), &pb.UpdateContainerResourcesRequest{
		ContainerId: id, Linux: &pb.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 25000, MemoryLimitInBytes: 128 << 20, CpusetCpus: "0-1"},
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "limits after the update", read(), "134217728\n"+quota("25000")+"\n0-1\n500")

	t.Run("stats", func(t *testing.T) {
		var stats *pb.ContainerStats
		eventually(t, "processor time is accounted", func() bool {
			got, err := c.ContainerStats(c.time(t), &pb.ContainerStatsRequest{ContainerId: id})
			if err != nil { // so says containerd when its shim is slow to answer: "unexpected metrics response: []"
				t.Log(err)
				return false
			}
			stats = got.Stats
			return stats.Cpu != nil && stats.Cpu.UsageCoreNanoSeconds.GetValue() > 0
		})
		if stats.Memory.WorkingSetBytes.GetValue() == 0 {
			t.Errorf("memory: %v", stats.Memory)
		}
		pods, err := c.PodSandboxStats(c.time(t), &pb.PodSandboxStatsRequest{PodSandboxId: p.id})
		if err != nil {
			t.Fatal(err)
		}
		if len(pods.Stats.Linux.Containers) != 1 {
			t.Errorf("containers of the pod: %v", pods.Stats.Linux)
		}
	})
}

// testCRIMounts: volumes and devices.
func testCRIMounts(t *testing.T, c *cri) {
	p := c.pod(t, "mounts", func(config *pb.PodSandboxConfig) { config.Linux.SecurityContext.Privileged = true })
	volume := filepath.Join(c.s.dir, "volume")
	for _, name := range []string{"plain", "in", "out", "file"} {
		if err := os.MkdirAll(filepath.Join(volume, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What is mounted below these must propagate: they are mounts that are shared, and not with the mount that they lie on.
	for _, name := range []string{"in", "out"} {
		path := filepath.Join(volume, name)
		if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", path, "", propagation, ""); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	id := p.start(t, "mounts", func(config *pb.ContainerConfig) {
		config.Linux.SecurityContext.Privileged = true
		config.Mounts = []*pb.Mount{
			{HostPath: filepath.Join(volume, "plain"), ContainerPath: "/plain"},
			{HostPath: filepath.Join(volume, "plain"), ContainerPath: "/readonly", Readonly: true},
			{HostPath: filepath.Join(volume, "in"), ContainerPath: "/in", Propagation: pb.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
			{HostPath: filepath.Join(volume, "out"), ContainerPath: "/out", Propagation: pb.MountPropagation_PROPAGATION_BIDIRECTIONAL},
		}
	})
	equal(t, "volumes", c.exec(t, id, "touch /plain/x; touch /readonly/y 2>&1; ls /readonly"), "touch: /readonly/y: Read-only file system\nx")
	t.Run("host to container", func(t *testing.T) {
		path := filepath.Join(volume, "in/below")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("x", path, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		equal(t, "mount", c.exec(t, id, "grep ' /in/below ' /proc/mounts | cut -d ' ' -f 3"), "tmpfs")
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
		equal(t, "mount", c.exec(t, id, "grep -c ' /in/below ' /proc/mounts || true"), "0")
	})
	t.Run("both ways", func(t *testing.T) {
		c.exec(t, id, "mkdir /out/below && mount -t tmpfs x /out/below")
		mounts, err := harness.MountsBelow(filepath.Join(volume, "out/below"))
		if err != nil || len(mounts) != 1 {
			t.Errorf("mounts here: %q, %v", mounts, err)
		}
		c.exec(t, id, "umount /out/below")
	})
	t.Run("device", func(t *testing.T) {
		id := p.start(t, "device", func(config *pb.ContainerConfig) {
			config.Devices = []*pb.Device{{HostPath: "/dev/fuse", ContainerPath: "/dev/fuse2", Permissions: "r"}}
		})
		equal(t, "device", c.exec(t, id, "stat -c %t,%T /dev/fuse2; exec 3</dev/fuse2 && echo opened; (exec 3>/dev/fuse2) 2>&1; true"),
			"a,e5\nopened\nsh: can't create /dev/fuse2: Operation not permitted")
	})
}

// testCRISecurity: what a security context asks for holds for the container's first process and for those that are executed later.
func testCRISecurity(t *testing.T, c *cri) {
	profile := filepath.Join(c.s.dir, "seccomp.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	p := c.pod(t, "security")
	field := func(process, name string) string {
		return "grep ^" + name + ": /proc/" + process + "/status | cut -f 2"
	}
	type context = pb.LinuxContainerSecurityContext
	for _, tc := range []struct {
		name   string
		change func(*context)
		script string
		want   string
	}{
		{"user and groups", func(s *context) {
			s.RunAsUser, s.RunAsGroup, s.SupplementalGroups = &pb.Int64Value{Value: 1000}, &pb.Int64Value{Value: 1000}, []int64{3000, 3001}
		}, "id -u; id -g; id -G | tr ' ' '\n' | grep -c ^300; stat -c %u:%g /proc/1", "1000\n1000\n2\n1000:1000"},
		{"user by name", func(s *context) { s.RunAsUsername = "bob" }, "id -un; id -Gn | tr ' ' '\n' | grep friends", "bob\nfriends"},
		{"read-only root", func(s *context) { s.ReadonlyRootfs = true }, "touch /x 2>&1 || true", "touch: /x: Read-only file system"},
		{"capabilities", func(s *context) {
			s.Capabilities = &pb.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_ADMIN"}}
		}, field("1", "CapEff") + "; " + field("self", "CapEff") + "; " + field("1", "CapBnd"), strings.TrimSpace(strings.Repeat("0000000000001000\n", 3))},
		{"no new privileges", func(s *context) { s.NoNewPrivs = true }, field("1", "NoNewPrivs") + "; " + field("self", "NoNewPrivs"), "1\n1"},
		{"seccomp: the runtime's profile", func(s *context) {
			s.Seccomp = &pb.SecurityProfile{ProfileType: pb.SecurityProfile_RuntimeDefault}
		}, field("1", "Seccomp") + "; " + field("self", "Seccomp"), "2\n2"},
		{"seccomp: none", func(s *context) {
			s.Seccomp = &pb.SecurityProfile{ProfileType: pb.SecurityProfile_Unconfined}
		}, field("1", "Seccomp"), "0"},
		{"seccomp: a profile of the host's", func(s *context) {
			s.Seccomp = &pb.SecurityProfile{ProfileType: pb.SecurityProfile_Localhost, LocalhostRef: profile}
		}, "mkdir /tmp/x 2>&1 || true", "mkdir: can't create directory '/tmp/x': No space left on device"},
		{"masked and read-only paths", func(s *context) {
			s.MaskedPaths, s.ReadonlyPaths = []string{"/etc/passwd", "/home"}, []string{"/tmp"}
		}, "wc -c < /etc/passwd; ls /home | wc -l; touch /tmp/x 2>&1 || true", "0\n0\ntouch: /tmp/x: Read-only file system"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := p.start(t, strings.NewReplacer(" ", "-", ":", "", "'", "").Replace(tc.name), func(config *pb.ContainerConfig) { tc.change(config.Linux.SecurityContext) })
			equal(t, tc.name, c.exec(t, id, tc.script), tc.want)
		})
	}
	t.Run("apparmor", func(t *testing.T) {
		if data, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); string(data) != "Y\n" {
			t.Skip("no AppArmor in this kernel")
		}
		id := p.start(t, "apparmor", func(config *pb.ContainerConfig) {
			config.Linux.SecurityContext.Apparmor = &pb.SecurityProfile{ProfileType: pb.SecurityProfile_RuntimeDefault}
		})
		equal(t, "profiles", c.exec(t, id, "cat /proc/1/attr/current /proc/self/attr/current"),
			"cri-containerd.apparmor.d (enforce)\ncri-containerd.apparmor.d (enforce)")
	})
	t.Run("privileged", func(t *testing.T) {
		p := c.pod(t, "privileged", func(config *pb.PodSandboxConfig) { config.Linux.SecurityContext.Privileged = true })
		id := p.start(t, "privileged", func(config *pb.ContainerConfig) { config.Linux.SecurityContext.Privileged = true })
		got := c.exec(t, id, field("1", "CapBnd")+"; "+field("1", "Seccomp")+"; mount -t tmpfs x /tmp && echo mounted; [ -e /dev/kmsg ] && echo devices")
		if !strings.HasSuffix(strings.Split(got, "\n")[0], "ffffff") || !strings.HasSuffix(got, "\n0\nmounted\ndevices") {
			t.Errorf("got %q", got)
		}
	})
}

// testCRINamespaces: what a container shares with its pod, with another container, and with the host.
func testCRINamespaces(t *testing.T, c *cri) {
	link := func(name string) string {
		t.Helper()
		text, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	t.Run("the pod's processes", func(t *testing.T) {
		shared := func(s *pb.NamespaceOption) { s.Pid = pb.NamespaceMode_POD }
		p := c.pod(t, "together", func(config *pb.PodSandboxConfig) { shared(config.Linux.SecurityContext.NamespaceOptions) })
		change := func(config *pb.ContainerConfig) { shared(config.Linux.SecurityContext.NamespaceOptions) }
		first, second := p.start(t, "first", change), p.start(t, "second", change)
		equal(t, "namespace", c.exec(t, first, "readlink /proc/self/ns/pid"), c.exec(t, second, "readlink /proc/self/ns/pid"))
		// A container without a PID namespace of its own: all its processes must end, and no other's.
		c.exec(t, first, "sleep 4321 >/dev/null 2>&1 &")
		if _, err := c.StopContainer(c.time(t), &pb.StopContainerRequest{ContainerId: first, Timeout: 100}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its processes are gone", func() bool { return c.exec(t, second, "ps | grep -c '[s]leep 4321'; true") == "0" })
	})
	t.Run("another container's processes", func(t *testing.T) {
		p := c.pod(t, "target")
		first := p.start(t, "first")
		second := p.start(t, "second", func(config *pb.ContainerConfig) {
			config.Linux.SecurityContext.NamespaceOptions.Pid = pb.NamespaceMode_TARGET
			config.Linux.SecurityContext.NamespaceOptions.TargetId = first
		})
		equal(t, "namespace", c.exec(t, second, "readlink /proc/self/ns/pid"), c.exec(t, first, "readlink /proc/self/ns/pid"))
	})
	t.Run("the host's", func(t *testing.T) {
		hosts := &pb.NamespaceOption{Network: pb.NamespaceMode_NODE, Pid: pb.NamespaceMode_NODE, Ipc: pb.NamespaceMode_NODE}
		p := c.pod(t, "host", func(config *pb.PodSandboxConfig) {
			config.Hostname, config.Linux.SecurityContext.NamespaceOptions = "", hosts
		})
		id := p.start(t, "host", func(config *pb.ContainerConfig) { config.Linux.SecurityContext.NamespaceOptions = hosts })
		equal(t, "namespaces", c.exec(t, id, "cd /proc/self/ns; readlink net; readlink pid; readlink ipc"),
			link("net")+"\n"+link("pid")+"\n"+link("ipc"))
	})
	t.Run("users", func(t *testing.T) {
		var major, minor int
		fmt.Sscanf(c.version, "%d.%d", &major, &minor)
		if major == 1 && minor < 7 {
			t.Skipf("containerd %s has no user namespaces for pods", c.version)
		}
		own := func(s **pb.UserNamespace) {
			ids := []*pb.IDMapping{{HostId: 3000000, ContainerId: 0, Length: 65536}}
			*s = &pb.UserNamespace{Mode: pb.NamespaceMode_POD, Uids: ids, Gids: ids}
		}
		p := c.pod(t, "users", func(config *pb.PodSandboxConfig) { own(&config.Linux.SecurityContext.NamespaceOptions.UsernsOptions) })
		id := p.start(t, "users", func(config *pb.ContainerConfig) {
			own(&config.Linux.SecurityContext.NamespaceOptions.UsernsOptions)
		})
		equal(t, "map", c.exec(t, id, "echo $(cat /proc/self/uid_map); touch /root/x && stat -c %u /root/x"), "0 3000000 65536\n0")
	})
}
