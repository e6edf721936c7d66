package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// shifted is a map without any of the host's IDs.
func shifted() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
}

// withUser gives a container a user namespace of its own with these maps.
func withUser(list []specs.LinuxIDMapping) func(*specs.Spec) {
	return func(s *specs.Spec) {
		harness.WithNamespace("user", "")(s)
		s.Linux.UIDMappings, s.Linux.GIDMappings = list, list
	}
}

// own gives a root filesystem to the user that is root in a container.
func own(t testing.TB, b *harness.Box, uid int) {
	t.Helper()
	must(t, filepath.Walk(b.Rootfs, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}))
}

func allKinds() []specs.LinuxNamespaceType {
	return []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "cgroup", "time"}
}

func fileOf(kind specs.LinuxNamespaceType) string {
	switch kind {
	case "network":
		return "net"
	case "mount":
		return "mnt"
	}
	return string(kind)
}

// A combination is the origins of a container's namespaces.
type combination struct {
	user string // "none", "new", "joined"
	// from is "host", "new", "joined" (of a container in a user namespace) or "foreign" (of one on
	// the host).
	from map[specs.LinuxNamespaceType]string
}

func (c combination) String() string {
	text := "user " + c.user
	for _, kind := range allKinds() {
		text += " " + string(kind) + " " + c.from[kind]
	}
	return text
}

// combinations are all in which one namespace differs from new, and a sample of the others, by a
// seed.
func combinations() []combination {
	sources := []string{"host", "new", "joined", "foreign"}
	var list []combination
	for _, user := range []string{"none", "new", "joined"} {
		for _, kind := range allKinds() {
			for _, source := range sources {
				c := combination{user, map[specs.LinuxNamespaceType]string{}}
				for _, k := range allKinds() {
					c.from[k] = "new"
				}
				c.from[kind] = source
				list = append(list, c)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		c := combination{[]string{"none", "new", "joined"}[random.IntN(3)], map[specs.LinuxNamespaceType]string{}}
		for _, k := range allKinds() {
			c.from[k] = sources[random.IntN(len(sources))]
		}
		list = append(list, c)
	}
	return list
}

// TestNamespaceMatrix: new and joined namespaces in all combinations, with and without a user
// namespace that is new or joined. The container's process, and an executed one, are in each of
// them, according to their inodes.
func TestNamespaceMatrix(t *testing.T) {
	harness.OrlopOnly(t, "others refuse some of them")
	every := func(s *specs.Spec) {
		harness.WithNamespace("cgroup", "")(s)
		harness.WithNamespace("time", "")(s)
	}
	inUser := harness.New(t, every, withUser(shifted()))
	own(t, inUser, 100000)
	onHost := harness.New(t, every)
	pods := map[string]int{"joined": inUser.Up(), "foreign": onHost.Up()}
	b := harness.New(t)
	own(t, b, 100000)
	base := b.Spec.Linux.Namespaces
	for i, c := range combinations() {
		if testing.Short() && i%8 != 0 {
			continue
		}
		b.Spec.Linux.Namespaces = append([]specs.LinuxNamespace(nil), base...)
		b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings = nil, nil
		c.apply(b.Spec, pods)
		if problem := c.try(t, b, pods); problem != "" {
			t.Errorf("%v: %s", c, problem)
		}
	}
	b.CheckClean()
}

// apply sets the combination in the configuration.
func (c combination) apply(s *specs.Spec, pods map[string]int) {
	s.Hostname = "box"
	for _, kind := range allKinds() {
		switch from := c.from[kind]; from {
		case "host":
			harness.WithoutNamespace(kind)(s)
		case "new":
			harness.WithNamespace(kind, "")(s)
		default:
			harness.WithNamespace(kind, nsFile(pods[from], fileOf(kind)))(s)
		}
	}
	if c.from["uts"] != "new" {
		s.Hostname = "" // stays unchanged
	}
	switch c.user {
	case "new":
		withUser(shifted())(s)
	case "joined":
		harness.WithNamespace("user", nsFile(pods["joined"], "user"))(s)
	}
}

// try makes the container and checks its namespaces.
func (c combination) try(t *testing.T, b *harness.Box, pods map[string]int) string {
	b.Spec.Process.Args = []string{"sleep", "1000"}
	b.Write()
	if r := b.Do("create", "--bundle", b.Bundle, b.ID); r.Status != 0 {
		return "create: " + r.Stderr
	}
	defer b.OK("delete", "--force", b.ID)
	if r := b.Do("start", b.ID); r.Status != 0 {
		return "start: " + r.Stderr
	}
	pidFile := filepath.Join(b.Dir, "exec.pid")
	if r := b.Do("exec", "--detach", "--pid-file", pidFile, b.ID, "sleep", "1000"); r.Status != 0 {
		return "exec: " + r.Stderr
	}
	second, err := strconv.Atoi(read(t, pidFile))
	must(t, err)
	first := b.State().Pid
	from := map[specs.LinuxNamespaceType]string{"user": map[string]string{"none": "host", "new": "new", "joined": "joined"}[c.user], "mount": "new"}
	for _, kind := range allKinds() {
		from[kind] = c.from[kind]
	}
	for kind, source := range from {
		file := fileOf(kind)
		got := link(t, nsFile(first, file))
		if also := link(t, nsFile(second, file)); also != got {
			return fmt.Sprintf("the exec'd process's %s namespace is %s, the container's is %s", kind, also, got)
		}
		known := map[string]string{"host": link(t, "/proc/self/ns/"+file), "joined": link(t, nsFile(pods["joined"], file)),
			"foreign": link(t, nsFile(pods["foreign"], file))}
		if kind == "user" {
			delete(known, "foreign") // the host's
		}
		for name, ns := range known {
			if (got == ns) != (source == name) {
				return fmt.Sprintf("the %s namespace is %s, that of %s is %s", kind, got, name, ns)
			}
		}
	}
	return ""
}

// TestUserNamespace: IDs are mapped, files have the right owners, and the host is not reachable.
func TestUserNamespace(t *testing.T) {
	b := harness.New(t, withUser(shifted()))
	own(t, b, 100000)
	hidden := filepath.Join(b.Dir, "hidden") // which the container's root could not enter
	must(t, os.MkdirAll(filepath.Join(hidden, "volume"), 0o700))
	must(t, os.Chown(filepath.Join(hidden, "volume"), 100005, 100006))
	must(t, os.Chmod(filepath.Join(hidden, "volume"), 0o777))
	b.Spec.Root.Readonly = false
	b.Spec.Process.User.AdditionalGids = []uint32{7, 8}
	harness.WithMount("/new/volume", "bind", filepath.Join(hidden, "volume"), "rbind", "rw")(b.Spec)
	got := b.Sh(`id -u; id -G; stat -c %u:%g /new /new/volume; touch /new/volume/f; grep CapEff /proc/self/status
		echo x > /dev/null; head -c 3 /dev/zero | wc -c; cat /proc/self/setgroups`)
	want := "0\n0 7 8\n0:0\n5:6\nCapEff:\t0000000020000420\n3\nallow\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if owner := ownerOf(t, filepath.Join(hidden, "volume", "f")); owner != 100000 {
		t.Errorf("what the container's root makes belongs to %d", owner)
	}
	if uid := ownerOf(t, filepath.Join(b.Rootfs, "new")); uid != 100000 {
		t.Errorf("a mount point belongs to %d", uid)
	}
	b.CheckClean()
}

// TestUserNamespaceParts: terminals, hooks, limits that only the host's root may raise, masks and
// read-only paths.
func TestUserNamespaceParts(t *testing.T) {
	b := harness.New(t, withUser(shifted()))
	own(t, b, 100000)
	b.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}}
	score := 7
	b.Spec.Process.OOMScoreAdj = &score
	b.Spec.Hooks = &specs.Hooks{
		CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u > " + b.Bundle + "/rootfs/tmp/uid; readlink /proc/self/ns/user >> " + b.Bundle + "/rootfs/tmp/uid"}}},
		StartContainer:  []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "id -u > /dev/shm/start"}}},
	}
	must(t, os.Chmod(filepath.Join(b.Rootfs, "tmp"), 0o777))
	got := b.Sh(`ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; cat /dev/shm/start; cat /proc/kcore | wc -c; echo 1 2>/dev/null > /proc/sys/kernel/panic || echo ro
		head -n 1 /tmp/uid; test "$(tail -n 1 /tmp/uid)" = "$(readlink /proc/self/ns/user)" && echo same`)
	if want := "100\n200\n7\n0\n0\nro\n0\nsame\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.CheckClean()
}

// TestRootOfNamespace: ID 0 of the container must be mapped, for users and for groups, in a new
// user namespace and in a joined one.
func TestRootOfNamespace(t *testing.T) {
	without := []specs.LinuxIDMapping{{ContainerID: 1, HostID: 100001, Size: 10}}
	cases := []struct {
		name       string
		uids, gids []specs.LinuxIDMapping
		fault      string
	}{
		{"no user", without, shifted(), "linux.uidMappings: must map containerID 0"},
		{"no group", shifted(), without, "linux.gidMappings: must map containerID 0"},
	}
	for _, tc := range cases {
		for _, joined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, joined %v", tc.name, joined), func(t *testing.T) {
				b := harness.New(t)
				b.Spec.Process.User = specs.User{UID: 1, GID: 1}
				if joined {
					ns := exec.Command("sleep", "1000")
					ns.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: sysMap(tc.uids), GidMappings: sysMap(tc.gids),
						GidMappingsEnableSetgroups: true}
					must(t, harness.StartOther(ns))
					t.Cleanup(func() {
						must(t, ns.Process.Kill())
						_ = harness.WaitOther(ns) // it was killed
					})
					harness.WithNamespace("user", nsFile(ns.Process.Pid, "user"))(b.Spec)
					tc.fault = ".path: the user namespace must map user 0 and group 0"
				} else {
					harness.WithNamespace("user", "")(b.Spec)
					b.Spec.Linux.UIDMappings, b.Spec.Linux.GIDMappings = tc.uids, tc.gids
				}
				if harness.Name() != "orlop" {
					tc.fault = "id 0"
				}
				b.Run().Fails(b, tc.fault)
				if !joined {
					b.CheckClean()
				}
			})
		}
	}
}

// sysMap converts a map to package syscall's type.
func sysMap(list []specs.LinuxIDMapping) (out []syscall.SysProcIDMap) {
	for _, m := range list {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return out
}

// TestUserNamespaceTold: a configuration may repeat the maps of a user namespace that it joins, if
// they are correct.
func TestUserNamespaceTold(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 refuses it")
	pod := harness.New(t, withUser(shifted()))
	own(t, pod, 100000)
	pid := pod.Up()
	b := harness.New(t, withUser(shifted()), harness.WithNamespace("user", nsFile(pid, "user")))
	own(t, b, 100000)
	if got := b.Sh("id -u"); got != "0\n" {
		t.Errorf("got %q", got)
	}
	b.Spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65535}}
	b.Run().Fails(b, "other mappings")
}

// TestTimeNamespace: the clocks' offsets, also for an exec'd process, and clear errors.
func TestTimeNamespace(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 has none")
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprint("user namespace ", user), func(t *testing.T) {
			b := harness.New(t, harness.WithNamespace("time", ""))
			if user {
				withUser(shifted())(b.Spec)
				own(t, b, 100000)
			}
			b.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000000, Nanosecs: 5}, "monotonic": {Secs: 77}}
			b.Up()
			want := "monotonic          77         0\nboottime      1000000         5\n"
			if got := b.OK("exec", b.ID, "cat", "/proc/1/timens_offsets"); got != want {
				t.Errorf("offsets %q, want %q", got, want)
			}
			uptime := func(text string) float64 {
				f, err := strconv.ParseFloat(strings.Fields(text)[0], 64)
				must(t, err)
				return f
			}
			before := uptime(read(t, "/proc/uptime"))
			if inside := uptime(b.OK("exec", b.ID, "cat", "/proc/uptime")); inside-before < 1000000 || inside-before > 1000100 {
				t.Errorf("the uptime is %v, on the host %v", inside, before)
			}
		})
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Uid
}
