package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// TestJoinEach: a container joins one namespace of another by path; its process and an executed one
// are in it, and have their own of the other kinds.
func TestJoinEach(t *testing.T) {
	pod := harness.New(t, harness.WithNamespace("cgroup", ""))
	podPid := pod.Up()
	kinds := namespaceFiles()
	for kind, file := range kinds {
		if kind == "mount" {
			continue // see TestJoinMount
		}
		t.Run(string(kind), func(t *testing.T) {
			path := nsFile(podPid, file)
			b := harness.New(t, harness.WithNamespace("cgroup", ""), harness.WithNamespace(kind, path))
			if kind == "uts" {
				b.Spec.Hostname = ""
			}
			pid := b.Up()
			pidFile := filepath.Join(b.Dir, "exec.pid")
			b.OK("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000")
			second, err := strconv.Atoi(read(t, pidFile))
			must(t, err)
			for other, file := range kinds {
				want := link(t, nsFile(podPid, file))
				for name, pid := range map[string]int{"process": pid, "exec'd process": second} {
					got := link(t, nsFile(pid, file))
					if (got == want) != (other == kind) {
						t.Errorf("%s: its %s namespace is %s, the pod's is %s", name, other, got, want)
					}
				}
			}
			if s := b.State(); s.Pid != pid {
				t.Errorf("pid %d, was %d", s.Pid, pid)
			}
			b.OK("delete", "--force", b.ID)
			b.WaitGone(second)
			b.CheckClean()
		})
	}
	pod.Status("running")
}

func nsFile(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + "/ns/" + file }

// TestJoinMount: in an existing mount namespace the container gets its own root, and does not
// change what others see.
func TestJoinMount(t *testing.T) {
	harness.OrlopOnly(t, "runc pivots the root of all who are in there")
	pod := harness.New(t)
	podPid := pod.Up()
	before := pod.OK("exec", pod.ID, "ls", "/")
	b := harness.New(t, harness.WithNamespace("mount", nsFile(podPid, "mnt")))
	// The bundle does not exist in the pod's root: an error, and nothing is left of it.
	b.Write()
	b.Fails("", "create", "--bundle", b.Bundle, b.ID)
	b.CheckClean()
	if after := pod.OK("exec", pod.ID, "ls", "/"); after != before {
		t.Errorf("the pod's root is now %q", after)
	}
}

// TestHostNamespaceByPath: a namespace of the runtime that is joined by a path is not changed:
// settings in it are refused.
func TestHostNamespaceByPath(t *testing.T) {
	harness.OrlopOnly(t, "others change the host")
	var host unix.Utsname
	must(t, unix.Uname(&host))
	hostname, domainname := unix.ByteSliceToString(host.Nodename[:]), unix.ByteSliceToString(host.Domainname[:])
	names := func(hostname, domainname string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Hostname, s.Domainname = hostname, domainname }
	}
	device := func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"lo": {Name: "lo9"}} }
	offsets := func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 5}} }
	shared := func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" }
	const mounts, sets = "].path: is the host's mount namespace", "the uts namespace is the runtime's own: the setting would apply to the host"
	for _, tc := range []struct {
		name   string
		kind   specs.LinuxNamespaceType
		change func(*specs.Spec)
		fault  string // "": the container runs
	}{
		{"mounts", "mount", nop, mounts},
		{"no mounts", "mount", func(s *specs.Spec) { withoutMounts(s); harness.WithNamespace("mount", "")(s) }, mounts},
		{"propagation", "mount", shared, mounts},
		{"hostname", "uts", names("deck", ""), "hostname: " + sets},
		{"domainname", "uts", names("", "deck"), "domainname: " + sets},
		{"equal names", "uts", names(hostname, domainname), ""},
		{"no names", "uts", names("", ""), ""},
		{"network device", "network", device, "linux.netDevices: the network namespace is the runtime's own"},
		{"network", "network", nop, ""},
		{"clocks", "time", offsets, "linux.timeOffsets: needs a new time namespace"},
		{"time", "time", nop, ""},
		{"ipc", "ipc", nop, ""},
	} {
		file := fileOf(tc.kind)
		link := filepath.Join(t.TempDir(), "ns")
		must(t, os.Symlink(nsFile(os.Getpid(), file), link))
		for by, path := range map[string]string{"process": nsFile(os.Getpid(), file), "own": "/proc/self/ns/" + file, "link": link} {
			t.Run(tc.name+" by "+by, func(t *testing.T) {
				before := read(t, "/proc/self/mountinfo")
				b := harness.New(t, tc.change, harness.WithNamespace(tc.kind, path), harness.Args("hostname"))
				if r := b.Do("run", "--bundle", b.Bundle, b.ID); tc.fault == "" {
					if got := r.OK(b); tc.kind == "uts" && got != hostname+"\n" {
						t.Errorf("the container's hostname is %q", got)
					}
				} else {
					r.Fails(b, tc.fault)
				}
				b.CheckClean()
				var after unix.Utsname
				must(t, unix.Uname(&after))
				if after != host {
					t.Errorf("the host's names are now %q and %q", after.Nodename, after.Domainname)
				}
				if got := read(t, "/proc/self/mountinfo"); got != before {
					t.Errorf("the host's mounts are now %s", got)
				}
			})
		}
	}
	t.Run("first process", func(t *testing.T) {
		b := harness.New(t, harness.WithNamespace("mount", "/proc/1/ns/mnt"))
		// A host, and a runtime in a mount namespace of its own.
		b.Wrap = []string{"unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", `readlink /proc/1/ns/mnt; unshare --mount "$@"; exit $?`, "sh"}
		b.Do("run", "--bundle", b.Bundle, b.ID).Fails(b, mounts)
	})
}

// withoutMounts makes a container without a mount namespace of its own: no mounts, and nothing that
// needs them.
func withoutMounts(s *specs.Spec) {
	harness.WithoutNamespace("mount")(s)
	s.Mounts, s.Root.Readonly = nil, false
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
}

// TestChroot: a container without a mount namespace has its root by chroot, also for processes
// executed in it.
func TestChroot(t *testing.T) {
	harness.OrlopOnly(t, "runc needs a mount namespace")
	b := harness.New(t, withoutMounts)
	mounts := read(t, "/proc/self/mountinfo")
	pid := b.Up()
	host := link(t, "/proc/self/ns/mnt")
	if got := link(t, nsFile(pid, "mnt")); got != host {
		t.Errorf("mount namespace %s, the host's is %s", got, host)
	}
	if got := link(t, "/proc/"+strconv.Itoa(pid)+"/root"); got != b.Rootfs {
		t.Errorf("root is %s", got)
	}
	const all = "bin\ndev\netc\nhome\nmnt\nproc\nroot\nrun\nsys\ntmp\nvar\n"
	if got := b.OK("exec", b.ID, "ls", "/.."); got != all {
		t.Errorf("exec: the root has %q", got)
	}
	if got := b.OK("exec", "--cwd", "/home", b.ID, "pwd"); got != "/home\n" {
		t.Errorf("exec: cwd %q", got)
	}
	pidFile := filepath.Join(b.Dir, "exec.pid")
	b.OK("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000")
	if got := link(t, "/proc/"+read(t, pidFile)+"/root"); got != b.Rootfs {
		t.Errorf("exec: root is %s", got)
	}
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
	if after := read(t, "/proc/self/mountinfo"); after != mounts {
		t.Errorf("mounts are\n%s\nwere\n%s", after, mounts)
	}
	t.Run("what needs a mount namespace", func(t *testing.T) {
		b := harness.New(t, harness.WithoutNamespace("mount"))
		b.Fails("linux.maskedPaths: needs a mount namespace", "create", "--bundle", b.Bundle, b.ID)
		b.Fails("linux.readonlyPaths: needs a mount namespace", "create", "--bundle", b.Bundle, b.ID)
	})
	t.Run("dev is a link out", func(t *testing.T) {
		b := harness.New(t, withoutMounts)
		outside := hostDir(t, b, "outside")
		must(t, os.Remove(filepath.Join(b.Rootfs, "dev")))
		must(t, os.Symlink(outside, filepath.Join(b.Rootfs, "dev")))
		b.Do("run", "--bundle", b.Bundle, b.ID) // an error, or made inside
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
			t.Errorf("outside the root: %v, %v", entries, err)
		}
	})
}

// TestRootfsPropagation: the container's root, by the optional fields of its mount.
func TestRootfsPropagation(t *testing.T) {
	// Private by default: the host's mounts are private here (the test's mount namespace is), so a
	// slave of them is private.
	for mode, want := range map[string]string{"": "-", "private": "-", "rprivate": "-", "slave": "-", "rslave": "-",
		"shared": "shared:", "rshared": "shared:", "unbindable": "unbindable", "runbindable": "unbindable"} {
		t.Run(mode, func(t *testing.T) {
			if want != "-" {
				harness.OrlopOnly(t, "runc 1.1 does it before the pivot, which undoes it")
			}
			b := harness.New(t)
			b.Spec.Linux.RootfsPropagation = mode
			fields := strings.Fields(b.Sh("grep ' / / \\| /[^ ]* / ' /proc/self/mountinfo | head -n 1"))
			if len(fields) < 7 || !strings.HasPrefix(fields[6], want) {
				t.Errorf("optional fields %q, want %q", fields, want)
			}
			for _, mount := range strings.Split(strings.TrimSpace(b.Sh("cut -d' ' -f5 /proc/self/mountinfo")), "\n") {
				if strings.HasPrefix(mount, b.Dir) {
					t.Errorf("a mount of the host: %s", mount)
				}
			}
			b.CheckClean()
		})
	}
	t.Run("nonsense", func(t *testing.T) {
		b := harness.New(t)
		b.Spec.Linux.RootfsPropagation = "shard"
		b.Write()
		r := b.Do("create", "--bundle", b.Bundle, b.ID)
		if harness.Name() == "orlop" {
			r.Fails(b, "linux.rootfsPropagation")
		}
	})
}
