package setup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
)

func ptr[T any](v T) *T { return &v }

func TestDevices(t *testing.T) {
	tr := newTrial(t, `stat -c '%n %F %a %u:%g %t,%T' /dev/null /dev/zero /dev/fuse /dev/sub/sda /run/pipe; for l in fd ptmx core; do readlink /dev/$l; done; echo x >/dev/null && echo ok`)
	tr.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: ptr(fs.FileMode(0o600))},
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: ptr(fs.FileMode(0o666)), UID: ptr(uint32(5)), GID: ptr(uint32(7))},
		{Path: "/dev/sub/sda", Type: "b", Major: 8, Minor: 0},
		{Path: "/run/pipe", Type: "p", FileMode: ptr(fs.FileMode(0o622))},
	}
	out := tr.out()
	contains(t, out, "/dev/null character special file 666 0:0 1,3", "/dev/zero character special file 600 0:0 1,5",
		"/dev/fuse character special file 666 5:7 a,e5", "/dev/sub/sda block special file 666 0:0 8,0", "/run/pipe fifo 622 0:0 0,0",
		"/proc/self/fd\npts/ptmx\n", "ok\n")
	if _, err := os.Stat("/proc/kcore"); err == nil {
		contains(t, out, "/proc/kcore\n")
	}
}

// TestDevicesInImage: without a mount on /dev, the image's own is used, and its files stay, except
// for ptmx.
func TestDevicesInImage(t *testing.T) {
	tr := newTrial(t, `stat -c '%n %F %a' /dev/null /dev/zero; readlink /dev/ptmx`)
	tr.spec.Mounts = tr.spec.Mounts[:1]
	tr.write("dev/null", "")
	tr.write("dev/ptmx", "")
	contains(t, tr.out(), "/dev/null regular empty file 644", "/dev/zero character special file 666", "pts/ptmx\n")
}

// TestDevOfHost: nothing is created in a /dev that belongs to the host.
func TestDevOfHost(t *testing.T) {
	tr := newTrial(t, `ls /dev`)
	dev := t.TempDir()
	tr.spec.Mounts = []specs.Mount{tr.spec.Mounts[0], bind(dev, "/dev")}
	if out := tr.out(); out != "" {
		t.Errorf("/dev holds %s", out)
	}
}

// TestDevIsLink: CVE-2026-41579, CVE-2026-47766: /dev leads to a directory outside that has a ptmx.
func TestDevIsLink(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "ptmx"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := newTrial(t, `true`)
	tr.spec.Mounts = tr.spec.Mounts[:1]
	if err := os.Symlink(outside, tr.path("dev")); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.run(); err == nil {
		t.Error("no error")
	}
	list, err := os.ReadDir(outside)
	if err != nil || len(list) != 1 || list[0].Type() != 0 {
		t.Errorf("outside holds %v, %v", list, err)
	}
}

func TestConsole(t *testing.T) {
	for _, devpts := range []bool{true, false} {
		tr := newTrial(t, `tty; stty size; stat -c '%u:%g %a' /dev/console; echo done >/dev/console; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; cut -d' ' -f7 /proc/self/stat`)
		tr.spec.Process.Terminal = true
		tr.spec.Process.ConsoleSize = &specs.Box{Height: 11, Width: 57}
		tr.spec.Process.User.UID = 1000
		if !devpts { // elsewhere, and reached by links
			tr.spec.Mounts[2].Destination = "/pts"
			if err := os.Symlink("/pts/ptmx", tr.path("ptmx")); err != nil {
				t.Fatal(err)
			}
			tr.add(specs.Mount{Destination: "/dev/pts", Type: "bind", Source: tr.path("pts"), Options: []string{"bind"}})
		}
		master := make(chan *os.File, 1)
		tr.onMessage = func(_ *nsenter.Process, m nsenter.Message) bool {
			if m.ID == MessageConsole {
				fd, err := unix.Dup(int(m.File.Fd()))
				if err != nil {
					t.Error(err)
				}
				master <- os.NewFile(uintptr(fd), "master")
			}
			return m.ID == MessageReady
		}
		_, err := tr.run()
		if err != nil {
			t.Fatal(err)
		}
		f := <-master
		buf := make([]byte, 4096)
		text := ""
		for {
			n, err := f.Read(buf)
			text += string(buf[:n])
			if err != nil {
				break // EIO: no slave is left
			}
		}
		f.Close()
		contains(t, text, "/dev/pts/0\r\n11 57\r\n", "1000:5 620\r\ndone\r\nterminal\r\n", "34816\r\n")
	}
}

// TestConsoleIsNoTerminal: a file of the image in place of ptmx does not become the console.
func TestConsoleIsNoTerminal(t *testing.T) {
	tr := newTrial(t, `true`)
	tr.spec.Process.Terminal = true
	tr.spec.Mounts = tr.spec.Mounts[:1]
	tr.write("dev/pts/ptmx", "")
	_, err := tr.run()
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "/dev/pts of the container is not a devpts") {
		t.Error(err)
	}
}

func TestHidden(t *testing.T) {
	tr := newTrial(t, `cat /secret; ls -A /directory /directory2; echo x >/proc/keys && echo swallowed; cat /proc/keys
		touch /directory/x || echo refused; touch /ro/x || echo refused; touch /ro/sub/x || echo refused; cat /ro/y
		chmod 600 /secret 2>&1 || true; grep -E ' /(directory2?) ' /proc/self/mountinfo | cut -d' ' -f3 | uniq | wc -l`)
	tr.write("secret", "hidden\n")
	tr.write("directory/x", "hidden\n")
	tr.write("directory2/x", "hidden\n")
	tr.write("ro/y", "visible\n")
	tr.add(tmpfs("/ro/sub"))
	tr.spec.Root.Readonly = false
	if err := os.Symlink("../directory2", tr.path("ro/link")); err != nil {
		t.Fatal(err)
	}
	tr.spec.Linux.MaskedPaths = []string{"/nothing", "/secret", "/directory", "/ro/link", "/secret/below", "/proc/nothing", "/proc/keys"}
	tr.spec.Linux.ReadonlyPaths = []string{"/ro", "/nothing", "/proc/nothing"}
	out := tr.out()
	if strings.Contains(out, "hidden") {
		t.Errorf("a masked path shows:\n%s", out)
	}
	contains(t, out, "swallowed\n", "visible\n")
	if strings.Count(out, "refused") != 3 || !strings.HasSuffix(out, "\n1\n") {
		t.Errorf("output:\n%s", out)
	}
}

// TestMaskIsNoImageFile: CVE-2025-31133: /dev/null of the image is another file. The host's is
// shown, and cannot be changed.
func TestMaskIsNoImageFile(t *testing.T) {
	tr := newTrial(t, `cat /secret; chmod 600 /secret; true`)
	before, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	tr.spec.Mounts = tr.spec.Mounts[:1]
	tr.spec.Root.Readonly = false
	tr.spec.Process.Capabilities.Bounding = nil
	tr.write("secret", "hidden\n")
	tr.write("trap", "trap\n")
	if err := os.Mkdir(tr.path("dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/trap", tr.path("dev/null")); err != nil {
		t.Fatal(err)
	}
	tr.spec.Linux.MaskedPaths = []string{"/secret"}
	out := tr.out()
	if strings.Contains(out, "hidden") || strings.Contains(out, "trap") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("output:\n%s", out)
	}
	if after, err := os.Stat("/dev/null"); err != nil || after.Mode() != before.Mode() {
		t.Errorf("the host's /dev/null has mode %v, %v", after.Mode(), err)
	}
}

func TestSysctl(t *testing.T) {
	for _, options := range [][]string{nil, {"ro"}, {"subset=pid"}} {
		tr := newTrial(t, `cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/self/oom_score_adj`)
		tr.spec.Mounts[0].Options = options
		tr.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "65536"}
		tr.spec.Process.OOMScoreAdj = ptr(123)
		out, err := tr.run()
		if options != nil && options[0] == "subset=pid" {
			if !strings.HasSuffix(out, "123\n") { // without a mount on /proc/sys
				t.Errorf("with %v: output %q, %v", options, out, err)
			}
		} else if out != "1\n65536\n123\n" {
			t.Errorf("with %v: output %q, %v", options, out, err)
		}
	}
	tr := newTrial(t, "true")
	tr.spec.Linux.Sysctl = map[string]string{"net.ipv4.nothing": "1"}
	_, err := tr.run()
	if err == nil || err.Error() != `linux.sysctl["net.ipv4.nothing"]: set sysctl net.ipv4.nothing = "1": openat2: no such file or directory `+
		`(the kernel has no such parameter in the container's namespaces)` {
		t.Error(err)
	}
}

func TestCgroupMounts(t *testing.T) {
	for _, namespace := range []bool{false, true} {
		tr := newTrial(t, `cat /proc/self/cgroup; cut -d' ' -f4,5,6 /proc/self/mountinfo | grep cgroup; mkdir /sys/fs/cgroup/x || echo refused`)
		tr.facts.Cgroup = hostCgroups(t)
		if len(tr.facts.Cgroup.Hierarchies) == 0 {
			t.Skip("no v1 hierarchies")
		}
		if namespace {
			tr.spec.Linux.Namespaces = append(tr.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
		tr.spec.Process.Args = []string{"/bin/busybox", "sh", "-c", `cut -d" " -f4,5,6 /proc/self/mountinfo; /bin/busybox mkdir /sys/fs/cgroup/x || echo refused`}
		if err := os.Symlink("busybox", tr.path("bin/cut")); err != nil {
			t.Fatal(err)
		}
		out := tr.out()
		contains(t, out, "/sys/fs/cgroup ro,nosuid,nodev,noexec", "/sys/fs/cgroup/systemd ro,nosuid,nodev,noexec", "/sys/fs/cgroup/cpu ro,nosuid,nodev,noexec", "refused")
	}
	// This host mounts cgroup2 in a directory of its own, so the test can treat it as the only
	// hierarchy.
	tr := newTrial(t, `mount | grep cgroup`)
	tr.facts.Cgroup = CgroupFacts{Unified: true, UnifiedPath: hostCgroups(t).UnifiedPath}
	if tr.facts.Cgroup.UnifiedPath == "" {
		t.Skip("no cgroup2")
	}
	contains(t, tr.out(), "on /sys/fs/cgroup type cgroup2 (ro,nosuid,nodev,noexec")
	tr.spec.Linux.Namespaces = append(tr.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	contains(t, tr.out(), "on /sys/fs/cgroup type cgroup2 (ro,nosuid,nodev,noexec")
}

func TestNoPivot(t *testing.T) {
	tr := newTrial(t, `ls /; mount | grep -c ' on / '; ls /proc/1/ns`)
	tr.options.NoPivot = true
	contains(t, tr.out(), "bin\n", "proc\n")
	if out, err := exec.Command("ls", "/proc/self").CombinedOutput(); err != nil {
		t.Fatalf("the host's /proc is gone: %s", out)
	}
}

// TestDeviceThatMustNotBeMade: without CAP_MKNOD, as under device rules without "m", the host's
// node is shown.
func TestDeviceThatMustNotBeMade(t *testing.T) {
	tr := newTrial(t, `stat -c '%n %F %t,%T' /dev/kmsg; grep kmsg /proc/self/mountinfo`)
	if _, err := os.Stat("/dev/kmsg"); err != nil {
		t.Skip(err)
	}
	tr.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}}
	b := tr.bundle()
	p, err := Container(b, tr.options, tr.facts)
	if err != nil {
		t.Fatal(err)
	}
	// The default nodes are made before the privilege to make any is given up.
	i := index[makeDevice](t, p)
	p.Steps = slices.Insert(p.Steps, i, Step{"", does{phaseDevices, func(l *lowering) {
		const all = 1<<41 - 1
		setCapabilities{Effective: all &^ (1 << unix.CAP_MKNOD) &^ (1 << 24), Permitted: all &^ (1 << 24)}.lower(l)
	}}})
	out, err := tr.runPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "/dev/kmsg character special file 1,b", " /kmsg /dev/kmsg ")
}
