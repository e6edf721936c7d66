package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

func TestRootReadOnly(t *testing.T) {
	for name, readOnly := range map[string]bool{"read-only": true, "writable": false} {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t)
			b.Spec.Root.Readonly = readOnly
			got := b.Sh("touch /new 2>/dev/null || echo refused")
			if (got == "refused\n") != readOnly {
				t.Errorf("got %q", got)
			}
			if _, err := os.Stat(filepath.Join(b.Rootfs, "new")); (err == nil) == readOnly {
				t.Errorf("in the bundle: %v", err)
			}
		})
	}
}

// TestRootIsAll: nothing of the host is reachable.
func TestRootIsAll(t *testing.T) {
	for _, flag := range []string{"", "--no-pivot"} {
		t.Run("run "+flag, func(t *testing.T) {
			b := harness.New(t, harness.Sh("ls /..; cut -d' ' -f5 /proc/self/mountinfo"))
			args := []string{"run", "--bundle", b.Bundle}
			if flag != "" {
				args = append(args, flag)
			}
			got := b.OK(append(args, b.ID)...)
			if !strings.HasPrefix(got, "bin\ndev\netc\nhome\nmnt\nproc\nroot\nrun\nsys\ntmp\nvar\n/\n") {
				t.Errorf("got %s", got)
			}
			if strings.Contains(got, b.Dir) {
				t.Errorf("a path of the host in %s", got)
			}
		})
	}
}

// TestNoPivot: a moved root is also everything that processes executed in the container can reach,
// through ".." and through /proc.
func TestNoPivot(t *testing.T) {
	b := harness.New(t, harness.Caps("CAP_SYS_CHROOT", "CAP_SYS_ADMIN"), harness.Sh("echo up; exec sleep 1000"))
	mounts := read(t, "/proc/self/mountinfo")
	lines := b.Create("--no-pivot")
	b.OK("start", b.ID)
	lines.Next()
	const all = "bin\ndev\netc\nhome\nmnt\nproc\nroot\nrun\nsys\ntmp\nvar\n"
	for _, script := range []string{"ls /..", "ls /proc/1/root/..", "cd -P /proc/1/cwd/../..; ls", "chroot /proc/1/root ls /.."} {
		if got := b.OK("exec", b.ID, "sh", "-c", script); got != all {
			t.Errorf("%s: %q", script, got)
		}
	}
	if got := b.OK("exec", b.ID, "cut", "-d ", "-f5", "/proc/self/mountinfo"); strings.Contains(got, b.Dir) {
		t.Errorf("a path of the host in %s", got)
	}
	b.OK("delete", "--force", b.ID)
	if after := read(t, "/proc/self/mountinfo"); after != mounts {
		t.Errorf("mounts are\n%s\nwere\n%s", after, mounts)
	}
	b.CheckClean()
}

// TestDefaultDevices: the devices that every container has, and the links.
func TestDefaultDevices(t *testing.T) {
	b := harness.New(t)
	got := b.Sh(`cd /dev
for d in null zero full random urandom tty; do stat -c '%n %F %a %u:%g %t:%T' $d; done
for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done
echo x > null; head -c 2 zero | wc -c; [ -c ptmx ] && echo pty`)
	want := `null character special file 666 0:0 1:3
zero character special file 666 0:0 1:5
full character special file 666 0:0 1:7
random character special file 666 0:0 1:8
urandom character special file 666 0:0 1:9
tty character special file 666 0:0 5:0
fd /proc/self/fd
stdin /proc/self/fd/0
stdout /proc/self/fd/1
stderr /proc/self/fd/2
ptmx pts/ptmx
2
pty
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDevices(t *testing.T) {
	mode, uid := os.FileMode(0o640), uint32(9)
	b := harness.New(t)
	b.Spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/sky", Type: "c", Major: 1, Minor: 3, FileMode: &mode, UID: &uid, GID: &uid},
		{Path: "/dev/deep/down/disk", Type: "b", Major: 7, Minor: 200, FileMode: &mode},
		{Path: "/dev/pipe", Type: "p", FileMode: &mode},
	}
	got := b.Sh("stat -c '%F %a %u:%g %t:%T' /dev/sky /dev/deep/down/disk /dev/pipe")
	want := "character special file 640 9:9 1:3\nblock special file 640 0:0 7:c8\nfifo 640 0:0 0:0\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestDeviceRules: the example denies all devices except the default ones.
func TestDeviceRules(t *testing.T) {
	// 1:11 is /dev/kmsg. Making the node of any device is allowed, only its use isn't.
	script := "(: < /dev/kmsg) 2>/dev/null || echo no read; (: >> /dev/kmsg) 2>/dev/null || echo no write; mknod /tmp/kmsg c 1 11"
	mode := os.FileMode(0o666)
	major, minor := int64(1), int64(11)
	rule := func(rules ...specs.LinuxDeviceCgroup) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Resources.Devices = rules }
	}
	deny := specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"}
	cases := []struct {
		name   string
		change func(*specs.Spec)
		want   string
	}{
		{"denied", rule(deny), "no read\nno write\n"},
		{"empty list denies", rule(), "no read\nno write\n"},
		{"allowed", rule(deny, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rwm"}), ""},
		{"only read", rule(deny, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "r"}), "no write\n"},
		{"all of a major number", rule(deny, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Access: "rwm"}), ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t, harness.Caps("CAP_MKNOD", "CAP_SYSLOG"), tc.change, harness.WithMount("/tmp", "tmpfs", "tmpfs"))
			b.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: &mode}}
			if got := b.Sh(script); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMaskedPaths(t *testing.T) {
	b := harness.New(t)
	if err := os.WriteFile(filepath.Join(b.Rootfs, "etc/secret"), []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.Spec.Linux.MaskedPaths = append(b.Spec.Linux.MaskedPaths, "/etc/secret", "/home", "/var", "/absent")
	got := b.Sh("cat /etc/secret; ls -A /home /var | grep -v : ; touch /home/x /var/x 2>/dev/null || echo refused; [ ! -e /proc/kcore ] || [ -c /proc/kcore ] || echo not masked")
	if got := strings.TrimSpace(strings.ReplaceAll(got, "\n\n", "\n")); got != "refused" {
		t.Errorf("got %q", got)
	}
}

func TestReadonlyPaths(t *testing.T) {
	b := harness.New(t, harness.Writable)
	if err := os.WriteFile(filepath.Join(b.Rootfs, "etc/fixed"), []byte("fixed\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	b.Spec.Linux.ReadonlyPaths = append(b.Spec.Linux.ReadonlyPaths, "/etc/fixed", "/var", "/absent")
	got := b.Sh(`for f in /etc/fixed /var/x /proc/sys/kernel/domainname; do (echo x > $f) 2>/dev/null || echo refused; done; cat /etc/fixed; touch /etc/free`)
	if want := "refused\nrefused\nrefused\nfixed\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadonlyRootPath: the root as a read-only path is read-only, and its submounts stay as they
// are.
func TestReadonlyRootPath(t *testing.T) {
	b := harness.New(t, harness.Writable)
	b.Spec.Linux.ReadonlyPaths = []string{"/"}
	if got := b.Sh(`for f in /etc/x /dev/shm/x; do (echo x > $f) 2>/dev/null || echo $f refused; done`); got != "/etc/x refused\n" {
		t.Errorf("got %q", got)
	}
}

func TestSysctl(t *testing.T) {
	b := harness.New(t)
	b.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net/ipv4/ip_default_ttl": "33"}
	if got := b.Sh("cd /proc/sys; cat net/ipv4/ip_forward kernel/shm_rmid_forced net/ipv4/ip_default_ttl"); got != "1\n1\n33\n" {
		t.Errorf("got %q", got)
	}
	for key, value := range map[string]string{
		"kernel.panic":           "1",          // not of a namespace: the host's
		"net.ipv4.no_such_thing": "1",          // no such file
		"net.ipv4.ip_forward":    "not number", // refused by the kernel
		"net.../../kernel.panic": "1",          // out of the directory
	} {
		t.Run(key, func(t *testing.T) {
			b := harness.New(t)
			b.Spec.Linux.Sysctl = map[string]string{key: value}
			b.Write()
			r := b.Fails("", "run", "--bundle", b.Bundle, b.ID)
			if harness.Name() == "orlop" && !strings.Contains(r.Stderr, "sysctl") {
				t.Errorf("the error doesn't name the field: %s", r.Stderr)
			}
			b.CheckClean()
		})
	}
}

// TestSysctlOfHost: a sysctl of a namespace is set in the container's, and refused if that is the
// runtime's own: because none is requested, or because the runtime's is joined, by any path.
func TestSysctlOfHost(t *testing.T) {
	harness.OrlopOnly(t, "older runtimes know fewer parameters, and set the host's")
	pod := harness.New(t, withUser(shifted()))
	own(t, pod, 100000)
	podPid := pod.Up()
	// The kernel only lets the host's root write those of UTS namespaces.
	plainPid := harness.New(t).Up()
	for _, p := range []struct {
		kind        specs.LinuxNamespaceType
		name, value string
		fits        func(*specs.Spec)
	}{
		{"network", "net.ipv4.ip_default_ttl", "33", nop},
		{"ipc", "kernel.shmmni", "77", nop},
		{"ipc", "fs.mqueue.queues_max", "7", nop},
		{"uts", "kernel.domainname", "deck", nop},
		{"uts", "kernel.domainname", "deck", func(s *specs.Spec) { s.Domainname = "deck" }},
		{"uts", "kernel.hostname", "deck", func(s *specs.Spec) { s.Hostname = "deck" }},
		{"user", "user.max_user_namespaces", "5", nop},
	} {
		file := "/proc/sys/" + strings.ReplaceAll(p.name, ".", "/")
		before := ""
		if data, err := os.ReadFile(file); err == nil {
			before = string(data)
		}
		box := func(t *testing.T, path string) *harness.Box {
			b := harness.New(t, p.fits)
			b.Spec.Linux.Sysctl = map[string]string{p.name: p.value}
			harness.WithNamespace(p.kind, path)(b.Spec)
			if p.kind == "user" {
				own(t, b, 100000)
			}
			if p.kind == "user" && path == "" {
				withUser(shifted())(b.Spec)
			}
			return b
		}
		t.Run(p.name+" of a new namespace", func(t *testing.T) {
			if got := box(t, "").Sh("cat " + file); got != p.value+"\n" {
				t.Errorf("got %q", got)
			}
		})
		proc := fileOf(p.kind)
		t.Run(p.name+" of a joined namespace", func(t *testing.T) {
			pid := podPid
			if p.kind == "uts" {
				pid = plainPid
			}
			b := box(t, nsFile(pid, proc))
			if p.kind != "user" && p.kind != "uts" { // the others belong to the pod's
				harness.WithNamespace("user", nsFile(podPid, "user"))(b.Spec)
				own(t, b, 100000)
			}
			if got := b.Sh("cat " + file); got != p.value+"\n" {
				t.Errorf("got %q", got)
			}
		})
		bound := filepath.Join(t.TempDir(), "ns")
		must(t, os.WriteFile(bound, nil, 0o644))
		must(t, unix.Mount("/proc/self/ns/"+proc, bound, "", unix.MS_BIND, ""))
		t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) })
		for name, path := range map[string]string{"by a process": nsFile(os.Getpid(), proc), "by a mount": bound} {
			if p.kind == "user" {
				continue // no process can join the one that it is in
			}
			t.Run(p.name+" of the runtime's namespace "+name, func(t *testing.T) {
				b := box(t, path)
				b.Write()
				b.Fails("the setting would apply to the host", "create", "--bundle", b.Bundle, b.ID)
				b.CheckClean()
			})
		}
		t.Run(p.name+" without a namespace", func(t *testing.T) {
			b := box(t, "")
			harness.WithoutNamespace(p.kind)(b.Spec)
			b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings = nil, nil
			if p.kind == "uts" {
				b.Spec.Hostname, b.Spec.Domainname = "", ""
			}
			b.Write()
			b.Fails("sysctl", "create", "--bundle", b.Bundle, b.ID)
			b.CheckClean()
		})
		if data, _ := os.ReadFile(file); string(data) != before {
			t.Errorf("%s of the host is now %q, was %q", p.name, data, before)
		}
	}
}
