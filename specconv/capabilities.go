package specconv

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// capabilityTable holds the kernel's capabilities; the index is the number
// (include/uapi/linux/capability.h).
var capabilityTable = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", // 0-4
	"CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", // 5-9
	"CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", // 10-14
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", // 15-19
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", // 20-24
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", // 25-29
	"CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", // 30-34
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", // 35-39
	"CAP_CHECKPOINT_RESTORE", // 40
}

// CapabilityNumber returns the kernel's number of a capability such as "CAP_CHOWN", and whether the
// name is known. A running kernel may know fewer: see /proc/sys/kernel/cap_last_cap.
func CapabilityNumber(name string) (uint, bool) {
	i := slices.Index(capabilityTable[:], name)
	return uint(max(i, 0)), i >= 0
}

// CapabilityNames returns the names of all capabilities, by number.
func CapabilityNames() []string { return slices.Clone(capabilityTable[:]) }

// CapabilitySets are the five sets of process.capabilities, a bit for each capability's number.
type CapabilitySets struct {
	Bounding, Effective, Inheritable, Permitted, Ambient uint64
}

// ParseCapabilities returns the sets of c, which may be nil. As the specification demands, it omits
// capabilities that cannot be granted, and lists them in notes: unknown names, effective ones that
// are not permitted, and ambient ones that are not both permitted and inheritable. The kernel would
// reject the whole set for these.
func ParseCapabilities(c *specs.LinuxCapabilities) (sets CapabilitySets, notes []string) {
	if c == nil {
		return
	}
	parse := func(set string, names []string, allowed uint64, lack string) (mask uint64) {
		var lacking []string
		first := 0
		for i, name := range names {
			n, ok := CapabilityNumber(name)
			switch {
			case !ok:
				notes = append(notes, jsonpath.Index("process.capabilities."+set, i)+": unknown capability "+strconv.Quote(name)+", left out")
			case allowed&(1<<n) == 0:
				if lacking == nil {
					first = i
				}
				lacking = append(lacking, name)
			default:
				mask |= 1 << n
			}
		}
		switch path := "process.capabilities." + set; len(lacking) {
		case 0:
		case 1:
			notes = append(notes, jsonpath.Index(path, first)+": "+lacking[0]+" is not "+lack+", left out")
		default: // one line for all: Buildah grants a dozen ambient but no inheritable ones in each step of a build
			notes = append(notes, path+": "+strings.Join(lacking, ", ")+" are not "+lack+", left out")
		}
		return mask
	}
	const every = ^uint64(0)
	sets.Bounding = parse("bounding", c.Bounding, every, "")
	sets.Permitted = parse("permitted", c.Permitted, every, "")
	sets.Inheritable = parse("inheritable", c.Inheritable, every, "")
	sets.Effective = parse("effective", c.Effective, sets.Permitted, "permitted")
	sets.Ambient = parse("ambient", c.Ambient, sets.Permitted&sets.Inheritable, "both permitted and inheritable")
	return sets, notes
}
