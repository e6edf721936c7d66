package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// applets are the links to busybox in an image.
var applets = []string{"false", "sh", "true"}

// programs are the files that images are made of.
type programs struct{ Busybox, Probe string }

// A bundle is what the features of a case make: a configuration, an image and a way to call the
// runtime.
type bundle struct {
	programs
	dir    string // holds all that belongs to the case; the same path for each runtime
	id     string
	cgroup string // the container's, unless a feature says otherwise
	spec   *specs.Spec

	image   []entry  // made in the root filesystem, in this order
	outside []entry  // made in dir
	owner   int      // of the root filesystem's files
	caller  []string // lines of a shell that then becomes the runtime
	global  []string // flags of all commands
	create  []string // flags of create and run
	stdin   string   // null, file, pipe or closed
	stdout  string   // file, pipe or null

	foreground bool // run waits for the container
	created    bool // create and start instead of run --detach
	steps      []step
	joined     []string // namespaces that another process holds for the container to join
}

// A step is a command that is called when the container has got to a phase.
type step struct {
	phase string // created, running or stopped
	args  []string
}

// An entry is a file of the image. Its kind is dir, file, script, private, fifo, link, gone, or
// probe for the program of probe/probe.c.
type entry struct{ path, kind, content string }

// rootfs is the directory of the root filesystem.
func (b *bundle) rootfs() string { return filepath.Join(b.dir, "bundle/rootfs") }

// hooksLog is the file that hooks of the runtime's mount namespace write to.
func (b *bundle) hooksLog() string { return filepath.Join(b.dir, "hooks.log") }

// makeBundle derives everything from a case.
func makeBundle(c Case, dir, id, cgroup string) (*bundle, error) {
	b := &bundle{dir: dir, id: id, cgroup: cgroup, spec: baseSpec(cgroup), stdin: "null", stdout: "file"}
	for _, f := range c {
		if err := vocabulary()[f.Kind].apply(b, f.Value); err != nil {
			return nil, fmt.Errorf("%v: %w", f, err)
		}
	}
	if len(b.steps) > 0 || b.created {
		b.foreground = false
	}
	if process := b.spec.Process; process != nil && !b.foreground {
		for i, arg := range process.Args {
			if arg == "once" {
				process.Args[i] = "hold"
			}
		}
	}
	return b, nil
}

// baseSpec is the configuration of an ordinary container.
func baseSpec(cgroup string) *specs.Spec {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	mount := func(destination, kind, source string, options ...string) specs.Mount {
		return specs.Mount{Destination: destination, Type: kind, Source: source, Options: options}
	}
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args:         []string{"probe", "once"},
			Env:          []string{"PATH=/bin:/usr/bin", "TERM=xterm"},
			Cwd:          "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Hostname: "box",
		Mounts: []specs.Mount{
			mount("/proc", "proc", "proc"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
		},
		Linux: &specs.Linux{
			CgroupsPath: cgroup,
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// write makes the bundle's files.
func (b *bundle) write() error {
	image := []entry{
		{"bin/busybox", "busybox", ""}, {"bin/probe", "probe", ""}, {"hook", "probe", ""},
		{"dev", "dir", ""}, {"home/sailor", "dir", ""}, {"mnt", "dir", ""}, {"proc", "dir", ""}, {"root", "dir", ""},
		{"run", "dir", ""}, {"sys", "dir", ""}, {"tmp", "dir", ""}, {"var", "dir", ""}, {"usr/share/zone", "file", "zone"},
		{"etc/passwd", "file", "root:x:0:0:root:/root:/bin/sh\nsailor:x:1000:1001:A Sailor:/home/sailor:/bin/sh\n"},
		{"etc/group", "file", "root:x:0:\ntty:x:5:\ncrew:x:1001:\ndeck:x:2000:sailor\n"},
		{"etc/conf", "file", "of the image\n"}, {"etc/secret", "file", "secret\n"}, {"data/file", "file", "data\n"},
		{"data/dir/file", "file", "deep\n"},
	}
	for _, name := range applets {
		image = append(image, entry{"bin/" + name, "link", "busybox"})
	}
	if err := b.lay(b.rootfs(), append(image, b.image...)); err != nil {
		return err
	}
	if err := b.finishImage(); err != nil {
		return err
	}
	if err := b.hostMount("host", 0); err != nil {
		return err
	}
	// What mounts have as their sources, and hooks as their programs.
	outside := []entry{
		{"host/dir/file", "file", "of the host\n"}, {"host/dir/true", "script", "#!/bin/sh\nexit 0\n"}, {"host/file", "file", "of the host\n"},
		{"host/upper", "dir", ""}, {"host/work", "dir", ""}, {"hook", "probe", ""},
		{"in", "file", "input\n"}, {"hooks.log", "file", ""},
	}
	if err := b.lay(b.dir, append(outside, b.outside...)); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(b.dir, "hooks.log"), 0o666); err != nil {
		return err
	}
	if err := b.hostMount("host/strict", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV); err != nil {
		return err
	}
	data, err := json.MarshalIndent(b.spec, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "bundle/config.json"), data, 0o644)
}

// finishImage sets what the entries do not say: the mode of /tmp, and the owner of all.
func (b *bundle) finishImage() error {
	tmp := filepath.Join(b.rootfs(), "tmp")
	if info, err := os.Lstat(tmp); err == nil && info.IsDir() {
		if err := os.Chmod(tmp, os.ModeSticky|0o777); err != nil {
			return err
		}
	}
	if b.owner == 0 {
		return nil
	}
	return filepath.WalkDir(b.rootfs(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, b.owner, b.owner)
	})
}

// hostMount makes a mount on the host, one of its own for what is mounted into containers: runc
// makes the mount private that the root filesystem lies on.
func (b *bundle) hostMount(name string, flags uintptr) error {
	path := filepath.Join(b.dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", flags, "mode=755"); err != nil {
		return err
	}
	if err := unix.Mount("", path, "", unix.MS_SHARED, ""); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(path, "dir"), 0o755)
}

func copyProgram(path, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o755)
}

// lay makes entries below a directory.
func (b *bundle) lay(root string, entries []entry) error {
	for _, e := range entries {
		path := filepath.Join(root, e.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if info, err := os.Lstat(path); err == nil && (!info.IsDir() || e.kind != "dir") {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var err error
		switch e.kind {
		case "gone":
		case "dir":
			if err = os.Mkdir(path, 0o755); errors.Is(err, fs.ErrExist) {
				err = nil
			}
		case "file":
			err = os.WriteFile(path, []byte(e.content), 0o644)
		case "script":
			err = os.WriteFile(path, []byte(e.content), 0o755)
		case "private":
			if err = os.Mkdir(path, 0o700); err == nil {
				err = os.WriteFile(filepath.Join(path, "file"), nil, 0o600)
			}
		case "fifo":
			err = unix.Mkfifo(path, 0o644)
		case "busybox":
			err = copyProgram(path, b.Busybox)
		case "probe":
			err = copyProgram(path, b.Probe)
		case "link":
			err = os.Symlink(e.content, path)
		default:
			err = fmt.Errorf("no kind of file %q", e.kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
