package engines

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// Where the runtime under test lies for the engines: where `make install` puts orlop, and contrib's files look for it.
const installed = "/usr/local/sbin/orlop"

// stage is the machine as the engines see it.
type stage struct {
	dir     string // the ground's, on a disk
	busybox string // path of a static busybox
	systemd bool   // systemd is the machine's first process: it keeps the cgroups
	v2      bool   // of cgroups there is only version 2
	parent  string // cgroup below which all containers' lie; with systemd a slice
	scarce  bool   // fewer descriptors and processes are allowed than Podman asks for
	skip    string // why no engine can run; "" when they can
}

// opened is made by the first test that needs it. Its mounts end with the namespace, and its files with the ground.
var opened = sync.OnceValues(openStage)

// onStage returns the stage, or skips the test with the machine's reason.
func onStage(t *testing.T) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	if s.skip != "" {
		t.Skip(s.skip)
	}
	return s
}

func openStage() (*stage, error) {
	s := &stage{skip: os.Getenv(lackEnv)}
	if s.skip != "" {
		return s, nil
	}
	s.systemd = onSystemd()
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	s.v2 = err == nil
	s.parent = "/engines"
	if s.systemd {
		s.parent = slice(filepath.Base(os.Getenv(groundEnv)))
	}
	if s.busybox, err = exec.LookPath("busybox"); err != nil {
		s.skip = "needs busybox (Debian: busybox-static)"
		return s, nil
	}
	s.dir = os.Getenv(groundEnv)
	for _, step := range []func() error{s.mountRun, s.mountFolders, makeHosts, s.mountData, s.mountDevices, s.install} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	// Set last: the stage has its own /usr.
	return s, os.Setenv("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
}

// makeHosts makes the file that containerd copies into each pod, where a machine has none: a minimal Debian.
func makeHosts() error {
	const path = "/etc/hosts"
	if exists(path) {
		return nil
	}
	return os.WriteFile(path, []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n"), 0o644)
}

// mountRun makes /run the tests' own, but for what belongs to systemd, with which engines and runtime talk.
func (s *stage) mountRun() error {
	dir := filepath.Join(s.dir, "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("run", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, name := range []string{"systemd", "dbus", "user", "udev"} {
		if _, err := os.Stat("/run/" + name); err != nil {
			continue
		}
		to := filepath.Join(dir, name)
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("/run/"+name, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind /run/%s: %w", name, err)
		}
	}
	return unix.Mount(dir, "/run", "", unix.MS_MOVE, "")
}

// mountFolders makes folders of the system writable for the tests alone, and lays the engines over them.
func (s *stage) mountFolders() error {
	// Not on the disk, whose file system may be an overlay itself.
	upper := filepath.Join(s.dir, "upper")
	if err := os.Mkdir(upper, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("upper", upper, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, path := range []string{"/usr", "/etc", "/var", "/opt", "/home"} {
		lower := path
		if above := filepath.Join(os.Getenv(foundEnv), path); os.Getenv(foundEnv) != "" {
			if _, err := os.Stat(above); err == nil {
				lower = above + ":" + path
			}
		}
		dir := filepath.Join(upper, path)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(dir+"/upper", 0o755), os.Mkdir(dir+"/work", 0o755)); err != nil {
			return err
		}
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir)
		if err := unix.Mount("engines", path, "overlay", 0, options); err != nil {
			return fmt.Errorf("mount an overlay on %s: %w", path, err)
		}
	}
	return nil
}

// mountData puts the folders in which engines keep images and containers on the disk, empty.
func (s *stage) mountData() error {
	for _, path := range []string{"/var/lib/containerd", "/var/lib/docker", "/var/lib/containers", "/var/tmp"} {
		from := filepath.Join(s.dir, "data", path)
		if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(path, 0o755)); err != nil {
			return err
		}
		if err := unix.Mount(from, path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	if err := os.Chmod("/var/tmp", 0o1777); err != nil {
		return err
	}
	// contrib's configuration of containerd has the plugins where their own documentation puts them.
	if err := os.MkdirAll("/opt/cni", 0o755); err != nil {
		return err
	}
	os.RemoveAll("/opt/cni/bin")
	if err := os.Symlink("/usr/lib/cni", "/opt/cni/bin"); err != nil {
		return err
	}
	// Engines want mounts to propagate, as they do on a machine whose first process is systemd. The
	// group is this namespace's own: the harness made all mounts private.
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

// mountCgroups mounts the hierarchies of the cgroup namespace in place of the host's: all of them, since containerd asks for the mount of
// each one that /proc/self/cgroup has.
func mountCgroups(dir string) error {
	const root = "/sys/fs/cgroup"
	if harness.CgroupMount("") == root {
		if err := errors.Join(unix.Unmount(root, unix.MNT_DETACH), unix.Mount("cgroup", root, "cgroup2", 0, "")); err != nil {
			return fmt.Errorf("mount cgroup2: %w", err)
		}
		// A cgroup with processes can't have others with controllers below it.
		return errors.Join(os.Mkdir(root+"/init", 0o755), os.WriteFile(root+"/init/cgroup.procs", []byte("0"), 0))
	}
	all, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	own := filepath.Join(dir, "cgroup")
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("cgroup", own, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return err
	}
	for line := range strings.Lines(string(all)) {
		controllers := strings.Split(line, ":")[1]
		name := controllers
		if path := harness.CgroupMount(controllers); path != "" {
			name = filepath.Base(path)
		}
		to := filepath.Join(own, name)
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		kind, options := hierarchyMount(controllers)
		if err := unix.Mount("cgroup", to, kind, 0, options); err != nil {
			return fmt.Errorf("mount the cgroup hierarchy %q: %w", line, err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries { // "cpu" to "cpu,cpuacct"
		if target, err := os.Readlink(filepath.Join(root, entry.Name())); err == nil {
			os.Symlink(filepath.Base(target), filepath.Join(own, entry.Name()))
		}
	}
	if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Mount(own, root, "", unix.MS_MOVE, "")
}

// mountDevices opens the devices that an ordinary user's engine needs to all, as udev does.
func (s *stage) mountDevices() error {
	for path, number := range map[string]uint64{"/dev/net/tun": unix.Mkdev(10, 200), "/dev/fuse": unix.Mkdev(10, 229)} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		node := filepath.Join(s.dir, "upper", filepath.Base(path)) // where devices are allowed, as they may not be in /tmp
		if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(number)); err != nil {
			return err
		}
		if err := os.Chmod(node, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(node, path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// install puts the runtime and the configurations where they belong.
func (s *stage) install() error {
	if err := os.MkdirAll(filepath.Dir(installed), 0o755); err != nil {
		return err
	}
	binary, err := os.ReadFile(harness.Runtime())
	if err != nil {
		return err
	}
	if err := os.WriteFile(installed, binary, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{
		"containerd/config.toml":  "/etc/containerd/config.toml",
		"docker/daemon.json":      "/etc/docker/daemon.json",
		"podman/containers.conf":  "/etc/containers/containers.conf.d/orlop.conf",
		"cri-o/10-orlop.conf":     "/etc/crio/crio.conf.d/10-orlop.conf",
		"kubernetes/runtime.yaml": "/etc/kubernetes/runtime.yaml",
	} {
		data, err := os.ReadFile(filepath.Join("../../contrib", from))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(s.limits(), s.scores())
}

// scores lets containerd's pods do with the scores for lack of memory that this machine can give: they are to have negative ones.
func (s *stage) scores() error {
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return nil
	}
	file, err := os.OpenFile("/etc/containerd/config.toml", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString("\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n")
	return err
}

// limits lets Podman ask for limits that this machine can give: as root it asks for a million descriptors and processes, which takes
// CAP_SYS_RESOURCE where fewer are allowed.
func (s *stage) limits() error {
	var files, processes unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_NPROC, &processes)); err != nil {
		return err
	}
	const million = 1 << 20
	if s.scarce = files.Max < million || processes.Max < million; !s.scarce {
		return nil
	}
	text := "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=1024:4096\"]\n"
	return os.WriteFile("/etc/containers/containers.conf.d/limits.conf", []byte(text), 0o644)
}

// exists tells whether there is a file or folder.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
