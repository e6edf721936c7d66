package main

import (
	"math/rand/v2"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// destinations are places to mount on: plain, missing, links of all sorts, and such as are refused.
func destinations() []string {
	return []string{"/data", "/data", "/data", "/data/dir", "/data/file", "/etc/conf", "/new/deep", "/newfile", "/link-relative", "/link-absolute", "/link-dangling",
		"/link-climbs", "/link-chain", "/link-dir/new", "/link-dangling/deep", "/etc/passwd", "/etc", "/tmp", "/proc/cpuinfo", "/proc/sys",
		"/proc/self/attr", "/proc/nosuch", "/dev/mine", "/dev/null", "/dev/shm", "/sys/fs/cgroup", "/", "data", "/data/../other", "/etc/conf/below", "/loop"}
}

// linksOfImage are what some of the destinations lead through.
func linksOfImage() []entry {
	return []entry{{"link-relative", "link", "data/dir"}, {"link-absolute", "link", "/data/dir"}, {"link-dangling", "link", "../run/nosuch/file"},
		{"link-climbs", "link", "../../../../data"}, {"link-chain", "link", "link-relative"}, {"link-dir", "link", "/var"}, {"loop", "link", "loop"}}
}

func pickMount(r *rand.Rand) string {
	destination := oneOf(destinations()...)(r)
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		source := oneOf("dir", "dir", "dir", "file", "strict", "strict/dir", "null", "missing", "inside", "relative", "fifo", "link")(r)
		if source == "missing" && strings.HasPrefix(destination, "/proc") {
			source = "dir" // One fault: of two, each runtime names the one that it finds first.
		}
		options := some(3, "ro", "rw", "nosuid", "noexec", "nodev", "suid", "exec", "dev", "noatime", "relatime", "strictatime", "private", "rprivate", "slave", "rslave",
			"shared", "rshared", "unbindable", "rro", "rnoexec", "rnosuid", "readonly", "nodiratime", "nosymfollow", "rbind", "remount", "defaults", "z", "mode=700")(r)
		return "bind:" + source + ":" + destination + ":" + strings.TrimSuffix(oneOf("bind", "rbind")(r)+","+options, ",")
	case 5, 6:
		return "tmpfs:tmpfs:" + destination + ":" + some(3, "ro", "mode=700", "mode=1777", "size=64k", "uid=1000", "gid=5", "noexec", "nosuid", "tmpcopyup", "private", "shared", "nosuch",
			"size=x", "nr_inodes=100", "huge=never", "rro")(r)
	case 7:
		return oneOf("proc", "sysfs", "mqueue", "devpts", "cgroup")(r) + ":x:" + oneOf("/data", "/new/deep", "/link-relative", "/proc", "/sys")(r) + ":" +
			some(2, "ro", "nosuid", "noexec", "nodev", "hidepid=2", "newinstance", "rro")(r)
	case 8:
		return "overlay:overlay:" + destination + ":" + oneOf("plain", "lower", "metacopy")(r)
	default:
		return oneOf("none:dir:/data:bind", "none:dir:/data:bind,ro", ":dir:/data:rbind,ro", "nosuch:x:/data:", ":dir:/data:", "tmpfs::/data:", "bind:dir:/data:", "ramfs:x:/data:mode=700")(r)
	}
}

// mountKinds are those of config.json's mounts and root.
func mountKinds() map[string]kind {
	return map[string]kind{
		"mount": {30, 3, pickMount, func(b *bundle, value string) error {
			parts, err := fields(value, 4)
			if err != nil {
				return err
			}
			b.image = append(b.image, linksOfImage()...)
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Type: parts[0], Source: b.mountSource(parts[0], parts[1]), Destination: parts[2],
				Options: b.mountOptions(parts[0], parts[3])})
			return nil
		}},
		"without": {5, 2, oneOf("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"), always(func(b *bundle, value string) {
			b.spec.Mounts = slices.DeleteFunc(b.spec.Mounts, func(m specs.Mount) bool {
				return m.Destination == value || value == "/sys" && strings.HasPrefix(m.Destination, "/sys/") || value == "/dev" && strings.HasPrefix(m.Destination, "/dev/")
			})
		})},
		"default": {4, 2, joined(oneOf("/proc", "/dev", "/dev/pts", "/dev/shm", "/sys", "/sys/fs/cgroup"), oneOf("ro", "rw", "noexec", "hidepid=2", "private", "shared", "rro", "uid=1000", "mode=700")),
			func(b *bundle, value string) error {
				parts, err := fields(value, 2)
				if err != nil {
					return err
				}
				for i := range b.spec.Mounts {
					if m := &b.spec.Mounts[i]; m.Destination == parts[0] {
						m.Options = append(m.Options, parts[1])
					}
				}
				return nil
			}},
		"root": {6, 1, oneOf("readonly", "absolute", "missing", "file", "link", "slash", "bundle"), always(func(b *bundle, value string) {
			switch value {
			case "readonly":
				b.spec.Root.Readonly = true
			case "absolute":
				b.spec.Root.Path = b.rootfs()
			case "missing":
				b.spec.Root.Path = "nosuch"
			case "file":
				b.spec.Root.Path = "config.json"
			case "link":
				b.spec.Root.Path = "rootfs/itself"
				b.image = append(b.image, entry{"itself", "link", "."})
			case "slash":
				b.spec.Root.Path = "rootfs/"
			case "bundle":
				b.spec.Root = nil
			}
		})},
		"propagation": {4, 1, oneOf("shared", "slave", "private", "rshared", "rslave", "rprivate", "unbindable", "nosuch"),
			always(func(b *bundle, value string) { b.spec.Linux.RootfsPropagation = value })},
		"masked":   {6, 3, pickCovered, always(func(b *bundle, value string) { b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, value) })},
		"readonly": {6, 3, pickCovered, always(func(b *bundle, value string) { b.spec.Linux.ReadonlyPaths = append(b.spec.Linux.ReadonlyPaths, value) })},
		"nomasks":  {3, 1, oneOf("yes"), always(func(b *bundle, _ string) { b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil })},
	}
}

func pickCovered(r *rand.Rand) string {
	return oneOf("/proc/kcore", "/proc/sys", "/etc/secret", "/etc/secret", "/data/dir", "/data/dir", "/nosuch", "/etc/passwd/x", "/data", "/sys", "/link-masked", "/proc", "/dev/null",
		"relative", "/tmp", "/")(r)
}

func (b *bundle) mountSource(kind, source string) string {
	if kind != "bind" && kind != "none" && kind != "" {
		return source
	}
	switch source {
	case "null":
		return "/dev/null"
	case "missing":
		return b.dir + "/host/nosuch"
	case "inside":
		return b.rootfs() + "/data"
	case "relative":
		b.image = append(b.image, entry{"../relative/file", "file", ""})
		return "relative"
	case "fifo":
		b.outside = append(b.outside, entry{"host/fifo", "fifo", ""})
		return b.dir + "/host/fifo"
	case "link":
		b.outside = append(b.outside, entry{"host/link", "link", "dir"})
		return b.dir + "/host/link"
	}
	return b.dir + "/host/" + source
}

func (b *bundle) mountOptions(kind, options string) []string {
	if kind != "overlay" {
		return list(options)
	}
	lower := "lowerdir=" + b.dir + "/host/dir"
	upper := []string{"upperdir=" + b.dir + "/host/upper", "workdir=" + b.dir + "/host/work"}
	switch options {
	case "lower":
		return []string{lower + ":" + b.dir + "/host/upper"}
	case "metacopy":
		return append(upper, lower, "metacopy=on", "noexec")
	}
	return append(upper, lower)
}

// deviceKinds are those of linux.devices and its rules.
func deviceKinds() map[string]kind {
	return map[string]kind{
		"device": {6, 2, joined(oneOf("c:1:3", "c:1:5", "b:7:0", "p:0:0", "u:1:3", "x:1:3", "c:1:300"),
			oneOf("/dev/mine", "/dev/mine", "/dev/null", "/dev/deep/mine", "/data/mine", "/etc/conf", "/data", "dev/mine", "/dev/stdin", "/dev/ptmx", "/dev/fuse"),
			oneOf("none", "438", "384", "4095"), oneOf("0", "1000", "none")), func(b *bundle, value string) error {
			parts, err := fields(value, 6)
			if err != nil {
				return err
			}
			d := specs.LinuxDevice{Type: parts[0], Path: parts[3], Major: int64(parseUnsigned(parts[1])), Minor: int64(parseUnsigned(parts[2]))}
			if parts[4] != "none" {
				m := specsMode(parts[4])
				d.FileMode = &m
			}
			if parts[5] != "none" {
				id := uint32(parseUnsigned(parts[5]))
				d.UID, d.GID = &id, &id
			}
			b.spec.Linux.Devices = append(b.spec.Linux.Devices, d)
			return nil
		}},
		"rule": {4, 3, joined(oneOf("allow", "deny"), oneOf("c:1:3", "c:1:5", "c:1:*", "c:*:*", "b:*:*", "a:*:*", "c:5:1", "c:10:200", "x:1:1"), oneOf("r", "rw", "rwm", "m", "x", "")),
			func(b *bundle, value string) error {
				parts, err := fields(value, 5)
				if err != nil {
					return err
				}
				rule := specs.LinuxDeviceCgroup{Allow: parts[0] == "allow", Type: parts[1], Access: parts[4]}
				if parts[2] != "*" {
					n := int64(parseUnsigned(parts[2]))
					rule.Major = &n
				}
				if parts[3] != "*" {
					n := int64(parseUnsigned(parts[3]))
					rule.Minor = &n
				}
				b.resources().Devices = append(b.resources().Devices, rule)
				return nil
			}},
		"norules": {1, 1, oneOf("yes"), always(func(b *bundle, _ string) { b.resources().Devices = nil })},
	}
}
