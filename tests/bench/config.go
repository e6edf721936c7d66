package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// object and list are JSON's: the config is written as data here, since this program imports the
// standard library only (and the profile).
type (
	object map[string]any
	list   []any
)

// bundle makes a bundle beside the one root filesystem: the example config, as runtimes print it
// with their spec command, without a terminal. A memory limit of 0 is none, and so is a seccomp
// profile of nil.
func (s *stage) bundle(name string, args []string, memory int64, seccomp json.RawMessage) error {
	dir := s.path(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	resources := object{"devices": list{object{"allow": false, "access": "rwm"}}}
	if memory > 0 {
		resources["memory"] = object{"limit": memory}
	}
	config := example()
	config["process"].(object)["args"] = args
	config["root"] = object{"path": s.path("rootfs"), "readonly": true}
	config["linux"].(object)["resources"] = resources
	config["linux"].(object)["cgroupsPath"] = s.cgroup + "/" + name
	if seccomp != nil {
		config["linux"].(object)["seccomp"] = seccomp
	}
	data, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}

func example() object {
	caps := list{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	mount := func(destination, kind, source string, options ...string) object {
		return object{"destination": destination, "type": kind, "source": source, "options": options}
	}
	return object{
		"ociVersion": "1.0.2",
		"hostname":   "bench",
		"process": object{
			"user": object{"uid": 0, "gid": 0},
			"env":  list{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			"cwd":  "/",
			"capabilities": object{
				"bounding": caps, "effective": caps, "permitted": caps,
			},
			"rlimits":         list{object{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}},
			"noNewPrivileges": true,
		},
		"mounts": list{
			mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
		},
		"linux": object{
			"namespaces": list{
				object{"type": "pid"}, object{"type": "network"}, object{"type": "ipc"}, object{"type": "uts"}, object{"type": "mount"},
			},
			"maskedPaths": list{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"},
			"readonlyPaths": list{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}
