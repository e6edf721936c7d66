package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// ordinary is an ordinary user of these tests, with a range of IDs: subordinate to
// subordinate+65535.
const (
	ordinary     = 4242
	subordinate  = 700000
	ordinaryName = "orloptest"
)

// asOrdinary makes the box one of an ordinary user. Files in /etc are covered by versions with that
// user.
func asOrdinary(t testing.TB, b *harness.Box) {
	t.Helper()
	harness.OrlopOnly(t, "the tests know orlop's texts")
	for file, line := range map[string]string{
		"/etc/passwd": fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", ordinaryName, ordinary, ordinary),
		"/etc/group":  fmt.Sprintf("%s:x:%d:\n", ordinaryName, ordinary),
		"/etc/subuid": fmt.Sprintf("%s:%d:65536\n", ordinaryName, subordinate),
		"/etc/subgid": fmt.Sprintf("%s:%d:65536\n", ordinaryName, subordinate),
	} {
		cover(t, b, file, line)
	}
	b.Wrap = []string{"setpriv", "--reuid", strconv.Itoa(ordinary), "--regid", strconv.Itoa(ordinary), "--clear-groups", "--"}
	b.UID = ordinary
	must(t, os.Chown(b.Dir, ordinary, ordinary))
	own(t, b, ordinary)
	b.Spec.Linux.CgroupsPath, b.Spec.Linux.Resources = "", nil
	withUser([]specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}})(b.Spec)
	// GID 5 is not mapped.
	b.Spec.Mounts[2].Options = []string{"newinstance", "ptmxmode=0666", "mode=0620"}
	b.Write()
}

// cover mounts a copy of the file with one more line over it, until the test ends.
func cover(t testing.TB, b *harness.Box, file, line string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		must(t, os.WriteFile(file, nil, 0o644))
		b.After(func() { os.Remove(file) })
	} else {
		must(t, err)
	}
	copied := filepath.Join(b.Dir, filepath.Base(file))
	must(t, os.WriteFile(copied, append(data, line...), 0o644))
	must(t, unix.Mount(copied, file, "", unix.MS_BIND, ""))
	b.After(func() { must(t, unix.Unmount(file, unix.MNT_DETACH)) })
}

// TestRootless: an ordinary user makes, enters and deletes a container, and is root inside.
func TestRootless(t *testing.T) {
	b := harness.New(t)
	asOrdinary(t, b)
	harness.Writable(b.Spec)
	hook := filepath.Join(b.Dir, "hook")
	b.Spec.Hooks = &specs.Hooks{
		CreateRuntime:   []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u > " + hook}}},
		CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u >> " + hook}}},
		StartContainer:  []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u > /started"}}},
	}
	b.Spec.Process.Args = []string{"sleep", "1000"}
	b.Write()
	b.OK("create", "--bundle", b.Bundle, b.ID)
	if got := b.OK("exec", b.ID, "id", "-u"); got != "0\n" {
		t.Errorf("exec into a created container: user %q", got)
	}
	b.OK("start", b.ID)
	if got := read(t, hook); got != "4242\n0\n" {
		t.Errorf("the hooks' users are %q", got)
	}
	got := b.OK("exec", b.ID, "sh", "-c", "cat /started; touch /made; echo x > /dev/null; grep CapEff /proc/self/status; cat /proc/self/setgroups")
	if want := "0\nCapEff:\t0000000020000420\ndeny\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if uid := ownerOf(t, filepath.Join(b.Rootfs, "made")); uid != ordinary {
		t.Errorf("what root makes belongs to %d", uid)
	}
	s := b.State()
	if s.Owner != ordinaryName || s.Status != "running" {
		t.Errorf("state %+v", s)
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(s.Pid)
	b.OK("delete", b.ID)
	b.CheckClean()
}

// TestRootlessRange: with subordinate IDs there are more users inside.
func TestRootlessRange(t *testing.T) {
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("needs newuidmap (Debian: uidmap)")
	}
	b := harness.New(t)
	asOrdinary(t, b)
	list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: subordinate, Size: 65536}}
	withUser(list)(b.Spec)
	harness.Writable(b.Spec)
	b.Spec.Process.User.AdditionalGids = []uint32{7}
	harness.Caps("CAP_CHOWN", "CAP_SETUID", "CAP_SETGID")(b.Spec)
	if got := b.Sh("id -G; touch /f; chown 5:6 /f; stat -c %u:%g /f"); got != "0 7\n5:6\n" {
		t.Errorf("got %q", got)
	}
	if uid := ownerOf(t, filepath.Join(b.Rootfs, "f")); uid != subordinate+4 {
		t.Errorf("on the disk it belongs to %d", uid)
	}
	t.Run("ids of others", func(t *testing.T) {
		b := harness.New(t)
		asOrdinary(t, b)
		withUser([]specs.LinuxIDMapping{{ContainerID: 0, HostID: 100, Size: 10}})(b.Spec)
		b.Run().Fails(b, "uidMappings: ")
	})
}

// TestRootlessNamespaces: each namespace new, the host's, or another container's.
func TestRootlessNamespaces(t *testing.T) {
	pod := harness.New(t)
	asOrdinary(t, pod)
	pid := pod.Up()
	for _, source := range []string{"host", "new", "joined"} {
		for _, kind := range allKinds() {
			b := harness.New(t)
			asOrdinary(t, b)
			switch source {
			case "host":
				harness.WithoutNamespace(kind)(b.Spec)
				if kind == "ipc" {
					if _, err := os.Stat("/dev/mqueue"); err != nil {
						// In the host's IPC namespace, its mount is the host's, if any.
						b.Spec.Mounts = append(b.Spec.Mounts[:4], b.Spec.Mounts[5:]...)
					}
				}
			case "new":
				harness.WithNamespace(kind, "")(b.Spec)
			case "joined":
				harness.WithNamespace("user", nsFile(pid, "user"))(b.Spec)
				b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings = nil, nil
				harness.WithNamespace(kind, nsFile(pid, fileOf(kind)))(b.Spec)
			}
			if kind == "uts" && source != "new" {
				b.Spec.Hostname = ""
			}
			if source == "joined" && (kind == "cgroup" || kind == "time") {
				// The pod has none of its own, and the user may not join the host's.
				continue
			}
			b.Spec.Process.Args = []string{"sleep", "1000"}
			b.Write()
			r := b.Do("create", "--bundle", b.Bundle, b.ID)
			if r.Status != 0 {
				t.Errorf("%s %s: create: %s", source, kind, r.Stderr)
				continue
			}
			b.OK("start", b.ID)
			file := fileOf(kind)
			inside := strings.TrimSpace(b.OK("exec", b.ID, "readlink", "/proc/self/ns/"+file))
			known := map[string]string{"host": link(t, "/proc/self/ns/"+file), "joined": link(t, nsFile(pid, file))}
			for name, ns := range known {
				if (inside == ns) != (source == name) && known["host"] != known["joined"] {
					t.Errorf("%s %s: it is %s, that of %s is %s", source, kind, inside, name, ns)
				}
			}
			b.OK("delete", "--force", b.ID)
		}
	}
	pod.Status("running")
}

// TestOrdinaryUser: without a user namespace an ordinary user cannot create a container.
func TestOrdinaryUser(t *testing.T) {
	b := harness.New(t)
	asOrdinary(t, b)
	harness.WithoutNamespace("user")(b.Spec)
	b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings = nil, nil
	b.Run().Fails(b, "linux.namespaces: an ordinary user needs a user namespace to have others")
	b.CheckClean()
}

// TestSetgroupsDenied: a user namespace without setgroups(2) passes that on to a container's.
func TestSetgroupsDenied(t *testing.T) {
	harness.OrlopOnly(t, "the tests know orlop's texts")
	one := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}
	b := harness.New(t, withUser(one), harness.Args("cat", "/proc/self/setgroups"))
	b.Wrap = []string{"unshare", "--user", "--map-root-user", "--mount"}
	b.Global = []string{"--cgroup-manager", "disabled"}
	b.Spec.Linux.CgroupsPath, b.Spec.Linux.Resources = "", nil
	// GID 5 is not mapped.
	b.Spec.Mounts[2].Options = []string{"newinstance", "ptmxmode=0666", "mode=0620"}
	b.Write()
	if got := b.OK("run", "--bundle", b.Bundle, b.ID); got != "deny\n" {
		t.Errorf("setgroups: %q", got)
	}
}

// TestNested: in a container with a user namespace its root runs the runtime again, with and
// without another user namespace.
func TestNested(t *testing.T) {
	harness.OrlopOnly(t, "the tests know orlop's texts")
	b := harness.New(t, withUser(shifted()), harness.Writable)
	inner := filepath.Join(b.Rootfs, "inner")
	must(t, os.Mkdir(inner, 0o755))
	must(t, os.Mkdir(filepath.Join(inner, "rootfs"), 0o755))
	for _, dir := range []string{"bin", "dev", "proc", "sys", "tmp"} {
		b.Aside(exec.Command("cp", "-a", filepath.Join(b.Rootfs, dir), filepath.Join(inner, "rootfs", dir)))
	}
	own(t, b, 100000)
	write := func(change func(*specs.Spec)) {
		spec := harness.Example()
		spec.Process.Args = []string{"sh", "-c", "id -u; wc -l < /proc/self/uid_map; echo x > /dev/null; echo 1 > /sys/x 2>/dev/null || echo read-only"}
		change(spec)
		config, err := json.Marshal(spec)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(inner, "config.json"), config, 0o644))
	}
	harness.WithMount("/orlop", "bind", harness.Runtime(), "bind", "ro")(b.Spec)
	// A procfs in a user namespace must not show more than the existing one.
	b.Spec.Linux.MaskedPaths, b.Spec.Linux.ReadonlyPaths = nil, nil
	harness.Caps("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SYS_CHROOT", "CAP_NET_ADMIN", "CAP_KILL", "CAP_CHOWN",
		"CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_MKNOD", "CAP_SYS_PTRACE")(b.Spec)
	const run = "/orlop --root /tmp/state run --bundle /inner nested 2>/dev/null"
	write(func(*specs.Spec) {})
	if got := b.Sh(run); got != "0\n1\nread-only\n" {
		t.Errorf("got %q", got)
	}
	write(withUser([]specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: 1, HostID: 1000, Size: 1000}}))
	if got := b.Sh(run); got != "0\n2\nread-only\n" {
		t.Errorf("with a user namespace in it: got %q", got)
	}
}
