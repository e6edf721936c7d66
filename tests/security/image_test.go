package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// Attacks by the content of an image or a configuration, each in its simple form, without a race.

func nop(*specs.Spec) {}

// hostDir makes a directory of the host, with a file in it.
func hostDir(t *testing.T, b *harness.Box, name string) string {
	t.Helper()
	dir := directory(t, filepath.Join(b.Dir, name))
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("of "+name+"\n"), 0o666))
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// replaceByLink replaces a path of the root filesystem by a link.
func replaceByLink(t *testing.T, b *harness.Box, name, target string) {
	t.Helper()
	path := filepath.Join(b.Rootfs, name)
	must(t, os.RemoveAll(path))
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.Symlink(target, path))
}

// TestCVE2019_18837_Links: CVE-2019-18837, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642,
// CVE-2025-54867, CVE-2026-41579, CVE-2026-47766, CVE-2025-24965. Each path at which the runtime
// creates or mounts something is a link that leads out of the root: the result is an error, or is
// inside.
func TestCVE2019_18837_Links(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	targets := []string{"proc", "sys", "dev", "dev/null", "dev/pts", "dev/shm", "dev/mqueue", "sys/fs/cgroup", "run", "mnt/deep", "etc/file", "tmp",
		"dev/ptmx", "dev/console", "dev/fd", "dev/sky", "work"}
	bare := func(s *specs.Spec) { // no tmpfs that covers the image's /dev
		s.Mounts = s.Mounts[:0]
		harness.WithMount("/proc", "proc", "proc")(s)
	}
	attempts(t, 4*len(targets), func(n int) {
		name, change, form, relative := targets[n/4%len(targets)], nop, "mounts", n%2 == 1
		if n%4 >= 2 {
			change, form = bare, "bare"
		}
		t.Run(fmt.Sprintf("%s %s %v", name, form, relative), func(t *testing.T) {
			b := harness.New(t, change, harness.Writable, harness.Sh("true"))
			target, check := outside(t, b)
			b.After(check)
			if relative {
				target = "../../../../../../../../../.." + target
			}
			replaceByLink(t, b, name, target)
			mode := os.FileMode(0o666)
			b.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/sky", Type: "c", Major: 1, Minor: 3, FileMode: &mode}}
			volume := hostDir(t, b, "volume")
			harness.WithMount("/mnt/deep/er", "bind", volume, "bind")(b.Spec)
			harness.WithMount("/etc/file", "bind", filepath.Join(volume, "f"), "bind")(b.Spec)
			harness.WithMount("/run/made", "tmpfs", "tmpfs")(b.Spec)
			harness.WithMount("/tmp", "tmpfs", "tmpfs", "tmpcopyup")(b.Spec)
			b.Spec.Process.Cwd = "/work/made"
			b.Write()
			r := b.Do("run", "--bundle", b.Bundle, b.ID)
			if r.Status != 0 && strings.Contains(r.Stderr, "goroutine ") {
				t.Errorf("a panic: %s", r.Stderr)
			}
			b.CheckClean()
		})
	})
}

// TestCVE2025_31133_Masks: CVE-2025-31133, CVE-2023-28642. Links of the image do not prevent
// masking.
func TestCVE2025_31133_Masks(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	script := `for f in /proc/kcore /proc/sysrq-trigger; do head -c 1 $f 2>/dev/null | wc -c; done; (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo refused; ls -A /sys/firmware | wc -l`
	pattern := read(t, "/proc/sys/kernel/core_pattern")
	var boxes []*harness.Box
	for name, target := range map[string]string{"dev/null": "/proc/sys/kernel/core_pattern", "proc": "/tmp", "sys": "/tmp", "dev": "/proc"} {
		b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE"), harness.Sh(script))
		replaceByLink(t, b, name, target)
		if name == "dev/null" { // nothing covers it
			b.Spec.Mounts = append(b.Spec.Mounts[:1:1], b.Spec.Mounts[5:]...)
		}
		boxes = append(boxes, b)
	}
	attempts(t, len(boxes), func(n int) {
		b := boxes[n%len(boxes)]
		if r := b.Run(); r.Status == 0 && r.Stdout != "0\n0\nrefused\n0\n" {
			t.Errorf("got %q", r.Stdout)
		}
		if after := read(t, "/proc/sys/kernel/core_pattern"); after != pattern {
			t.Errorf("core_pattern is %q", after)
		}
		b.CheckClean()
	})
}

// TestCVE2019_16884_MountsOverProc: nothing is mounted over the files in /proc that the runtime
// relies on, not even through a link.
func TestCVE2019_16884_MountsOverProc(t *testing.T) {
	harness.OrlopOnly(t, "runc refuses bind mounts only")
	b := harness.New(t, harness.Writable, harness.Sh("cat /proc/self/attr/current /proc/self/comm /proc/sys/kernel/ostype; ls /proc/self | wc -l"))
	must(t, os.Symlink("/proc", filepath.Join(b.Rootfs, "link")))
	must(t, os.Symlink("proc/self", filepath.Join(b.Rootfs, "linked")))
	volume := hostDir(t, b, "volume")
	usual := len(b.Spec.Mounts)
	destinations := []string{"/proc", "/proc/", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/1", "/proc/net/dev", "/mnt/../proc/self", "/link/self", "/link/sys", "/linked"}
	attempts(t, 2*len(destinations), func(n int) {
		destination := destinations[n/2%len(destinations)]
		b.Spec.Mounts = b.Spec.Mounts[:usual]
		if n%2 == 0 {
			harness.WithMount(destination, "tmpfs", "tmpfs")(b.Spec)
		} else {
			harness.WithMount(destination, "bind", volume, "bind")(b.Spec)
		}
		r := b.Run()
		switch {
		case r.Status != 0:
		case !strings.Contains(destination, "link"):
			t.Errorf("%v is mounted: %s", b.Spec.Mounts[usual], r.Stdout)
		case !strings.Contains(r.Stdout, "cat\nLinux\n"):
			t.Errorf("%v: /proc is not itself: %q", b.Spec.Mounts[usual], r.Stdout)
		}
		b.CheckClean()
	})
}

// TestCVE2024_21626_WorkingDirectory: a working directory that leads out through a descriptor of
// the runtime.
func TestCVE2024_21626_WorkingDirectory(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	b := harness.New(t)
	b.Up()
	other := harness.New(t, harness.Sh("ls -a . ; pwd"))
	files := openDirectories(t, 5)
	attempts(t, 2*28, func(n int) {
		cwd := fmt.Sprintf("/proc/self/fd/%d", 3+n/2%28)
		if n%2 == 1 {
			cwd += "/."
		}
		exec := b.Cmd("exec", "--cwd", cwd, b.ID, "ls", "-a")
		exec.Files = files
		other.Spec.Process.Cwd = cwd
		other.Write()
		run := other.Cmd("run", "--bundle", other.Bundle, other.ID)
		run.Files = files
		for name, r := range map[string]harness.Result{"exec": exec.Run(), "run": run.Run()} {
			if r.Status == 0 {
				t.Errorf("%s with cwd %s: %s", name, cwd, r.Stdout)
			}
		}
	})
	// The container's process does not see them either, unless they are passed on purpose.
	look := b.Cmd("exec", "--preserve-fds", "1", b.ID, "sh", "-c", "for f in /proc/self/fd/*; do [ -e $f/etc/passwd ] && echo ${f##*/}; done; n=0; for f in /proc/$$/fd/*; do [ -L $f ] && n=$((n+1)); done; echo $n")
	look.Files = files
	if r := look.Run(); !strings.HasPrefix(r.Stdout, "3\n4\n") {
		t.Errorf("0 to 2 and the one that is passed, 3, are to be seen: %q, %s", r.Stdout, r.Stderr)
	}
	// Nor through a link of the image.
	must(t, os.Symlink("/proc/self/fd/7", filepath.Join(b.Rootfs, "out")))
	if r := b.Do("exec", "--cwd", "/out", b.ID, "ls"); r.Status == 0 {
		t.Errorf("exec with cwd /out: %s", r.Stdout)
	}
}

// openDirectories opens the host's root several times, as a careless caller's shell does.
func openDirectories(t *testing.T, n int) []*os.File {
	t.Helper()
	var list []*os.File
	for range n {
		f, err := os.Open("/")
		must(t, err)
		t.Cleanup(func() { f.Close() })
		list = append(list, f)
	}
	return list
}

// TestCVE2026_30892_Users: the right user, or an error.
func TestCVE2026_30892_Users(t *testing.T) {
	harness.OrlopOnly(t, "runc reads names, and numbers loosely")
	b := harness.New(t)
	b.Up()
	users := []struct{ user, want string }{
		{"1", "1 0"}, {"1:2", "1 2"}, {"0", "0 0"}, {"4294967294", "4294967294 0"},
		{"1:", ""}, {":1", ""}, {"-1", ""}, {"4294967295", ""}, {"4294967296", ""}, {"0x1", ""}, {"1 ", ""}, {" 1", ""}, {"+1", ""}, {"1_0", ""},
		{"root", ""}, {"1:2:3", ""}, {"1e0", ""},
	}
	attempts(t, len(users), func(n int) {
		user, want := users[n%len(users)].user, users[n%len(users)].want
		r := b.Do("exec", "--user="+user, b.ID, "sh", "-c", "echo $(id -u) $(id -g)")
		if got := strings.TrimSpace(r.Stdout); got != want || (r.Status == 0) != (want != "") {
			t.Errorf("--user=%q: status %d, %q, want %q", user, r.Status, got, want)
		}
	})
}

// TestCVE2022_29162_Capabilities: CVE-2022-29162, CVE-2022-27650, CVE-2025-27612. Neither exec
// --cap nor spec makes capabilities inheritable.
func TestCVE2022_29162_Capabilities(t *testing.T) {
	harness.OrlopOnly(t, "this runc makes them inheritable")
	b := harness.New(t)
	b.Up()
	const sets = "grep -E '^Cap(Inh|Amb)' /proc/self/status | cut -f2"
	for _, set := range []string{"inheritable", "ambient"} {
		if out := b.OK("spec", "--bundle", directory(t, filepath.Join(b.Dir, set))); strings.Contains(out+read(t, filepath.Join(b.Dir, set, "config.json")), `"`+set+`"`) {
			t.Errorf("spec lists %s capabilities", set)
		}
	}
	variants := [][]string{{}, {"--cap", "CAP_NET_RAW"}, {"--cap", "CAP_NET_RAW", "--user", "1000"}}
	attempts(t, len(variants), func(n int) {
		args := variants[n%len(variants)]
		got := b.OK(append(append([]string{"exec"}, args...), b.ID, "sh", "-c", sets)...)
		if got != "0000000000000000\n0000000000000000\n" {
			t.Errorf("exec %q: %q", args, got)
		}
	})
}

// TestDots: ".." in a value that becomes a path or a file's name is an error that names the field,
// before anything is made.
func TestDots(t *testing.T) {
	harness.OrlopOnly(t, "runc checks fewer")
	limit := uint64(0)
	resources := func(change func(*specs.LinuxResources)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(s.Linux.Resources) }
	}
	faults := []struct {
		field  string
		change func(*specs.Spec)
	}{
		{"linux.resources.hugepageLimits[0].pageSize", resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "../../x", Limit: limit}}
		})},
		{`linux.resources.unified["../x"]`, resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"../x": "1"} })},
		{"linux.cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "/../../x" }},
		{"linux.intelRdt.closID", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "../x"} }},
		{"linux.netDevices", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"../x": {}} }},
		{`linux.sysctl["net.../../x"]`, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.../../x": "1"} }},
	}
	b := harness.New(t)
	attempts(t, len(faults), func(n int) {
		f := faults[n%len(faults)]
		b.Spec = harness.Example()
		b.Spec.Linux.CgroupsPath = b.Cgroup
		f.change(b.Spec)
		b.Write()
		b.Fails(f.field, "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	})
	b.Spec = harness.Example()
	b.Spec.Linux.CgroupsPath = b.Cgroup
	b.Up()
	for _, cgroup := range []string{"..", "/..", "/../..", "a/../../b", "/a/.."} {
		b.Fails("", "exec", "--cgroup", cgroup, b.ID, "true")
	}
	b.OK("delete", "--force", b.ID)
	for _, command := range []string{"state", "start", "kill", "delete", "pause", "resume"} {
		b.Fails("", command, "../"+filepath.Base(b.Bundle))
	}
	b.Fails("", "delete", "--force", "../bundle")
	if _, err := os.Stat(filepath.Join(b.Bundle, "config.json")); err != nil {
		t.Error(err)
	}
}

// TestCVE2021_43784_LargeConfig: more than 64 KiB of everything works, or is a clear error.
func TestCVE2021_43784_LargeConfig(t *testing.T) {
	harness.OrlopOnly(t, "one runtime is enough")
	const environment, mounts, argument, mappings = 0, 1, 2, 3
	// MAX_ARG_STRLEN is 128 KiB.
	boxes := []*harness.Box{harness.New(t), harness.New(t), harness.New(t, harness.Args("true", strings.Repeat("x", 200_000))),
		harness.New(t, harness.WithNamespace("user", ""))}
	for i := range uint32(3000) { // the kernel accepts 340, and 4 KiB of them
		m := specs.LinuxIDMapping{ContainerID: i, HostID: 100_000 + 2*i, Size: 1}
		linux := boxes[mappings].Spec.Linux
		linux.UIDMappings, linux.GIDMappings = append(linux.UIDMappings, m), append(linux.GIDMappings, m)
	}
	boxes[mappings].Write()
	for i := range 2000 {
		env := &boxes[environment].Spec.Process.Env
		*env = append(*env, "V"+strconv.Itoa(i)+"="+strings.Repeat("x", 100))
	}
	dir := filepath.Join(hostDir(t, boxes[mounts], "volume"), strings.Repeat("d", 200), strings.Repeat("e", 200))
	must(t, os.MkdirAll(dir, 0o755))
	for i := range 300 {
		harness.WithMount(fmt.Sprintf("/mnt/%03d", i), "bind", dir, "bind")(boxes[mounts].Spec)
	}
	boxes[argument].Write()
	attempts(t, len(boxes), func(n int) {
		switch b := boxes[n%len(boxes)]; n % len(boxes) {
		case environment:
			if got := b.Sh("env | grep -c ^V"); got != "2000\n" {
				t.Errorf("got %q", got)
			}
		case mounts:
			if got := b.Sh("grep -c ' /mnt/' /proc/self/mountinfo"); got != "300\n" {
				t.Errorf("got %q", got)
			}
		case argument:
			b.Fails("argument list too long", "run", "--bundle", b.Bundle, b.ID)
			b.CheckClean()
		case mappings:
			b.Fails("linux.uidMappings", "run", "--bundle", b.Bundle, b.ID)
			b.CheckClean()
		}
	})
}
