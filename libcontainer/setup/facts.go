package setup

// Facts is what the planner must know of the host and the caller, gathered beforehand. The zero value is fit for
// printing a plan for a host that nothing is known of: no capability is left out and every bind source is taken for a folder.
type Facts struct {
	// LastCap is the highest capability that the kernel knows (/proc/sys/kernel/cap_last_cap). 0: 40, CAP_CHECKPOINT_RESTORE.
	LastCap uint
	// Grantable is the set of capabilities that the runtime has and so can grant, bit by number. Others are left out with
	// a warning. 0: all.
	Grantable uint64
	// SourceIsFile tells for each mount of the bundle (same index) whether the source of a bind mount is something else than
	// a folder, so that the mount point that is made for it is a file.
	SourceIsFile []bool
	// SourceInRoot has for each mount of the bundle (same index) the path in the container's root of a bind mount's source that earlier
	// mounts bring or cover, "" for all others. nil: there is none.
	SourceInRoot []string
	// SourceLink has for each mount with copy-symlink (same index) what the source leads to, "" if it is no symbolic link.
	SourceLink []string
	// FolderMode has for each mount of the bundle (same index) the permission bits of the folder that the image has at its
	// destination, 0 for none. A tmpfs that is configured without a mode gets these.
	FolderMode []uint32
	// Cgroup is the cgroup of the container as its hierarchies are mounted on the host.
	Cgroup  CgroupFacts
	Streams StreamFacts
	// TimerSlack is what the process is to have, in nanoseconds, 0 for that of the thread which starts it.
	TimerSlack int
	// Ignored are the signals that the runtime ignores, SIGHUP under nohup say: bit 0 is signal 1. A program inherits that, but those of a
	// container begin with all signals as they are by default.
	Ignored uint64
	// RootParent is the mount point on the host that holds the root file system. It matters for rootfsPropagation "shared".
	RootParent string
	// Pseudo are the mount points of procfs and sysfs on the host, the outermost first. It matters for Options.NoPivot. nil:
	// /proc and /sys.
	Pseudo []string
	// Shared are the namespaces (CLONE_NEW*) that the container joins by a path, and that are the
	// runtime's own: see checkShared.
	Shared uintptr
	// Hostname and Domainname are those of the runtime's UTS namespace, if that is in Shared.
	Hostname, Domainname string
	// ProcOfOthers is set when the kernel makes a procfs also of a PID namespace that the caller is not in (pidns=, since Linux 6.17).
	ProcOfOthers bool
	// Umask is the runtime's own. It matters for hooks that run with the runtime's rights.
	Umask uint32
	// AppArmor and SELinux tell which security modules are there to confine the process.
	AppArmor, SELinux bool
	// Confined is set when a profile of AppArmor confines the runtime itself.
	Confined bool
	// Seccomp is the compiled filter of linux.seccomp; nil without one.
	Seccomp *SeccompFilter
	UserFacts
}

// UserFacts is what matters for user namespaces: one of the container's, or one that the runtime itself is in. The zero value is that
// of a runtime which is root on the host.
type UserFacts struct {
	// Users is the map of the container's user namespace where that is joined; nil when it is not known: then all ids are mapped.
	Users *IDMap
	// Unprivileged is set when the runtime lacks the right to mount (CAP_SYS_ADMIN).
	Unprivileged bool
	// Nested is set when the runtime is in a user namespace that is not the initial one.
	Nested bool
	// Foreign are the namespaces (CLONE_NEW*) that the container joins or shares, and that do not belong to its user namespace.
	Foreign uintptr
	// SetgroupsDenied is set when the container's user namespace, or without one the runtime's, has no setgroups(2).
	SetgroupsDenied bool
	// HardLimits are the runtime's own hard limits, by resource (RLIMIT_*).
	HardLimits []uint64
	// LeastOOMScore is the least oom_score_adj that the runtime may set; nil: any.
	LeastOOMScore *int
}

// CgroupFacts is what a mount of type cgroup or cgroup2 shows the container.
type CgroupFacts struct {
	// Unified is true when the host has nothing but cgroup2: a mount of type cgroup is then one of cgroup2.
	Unified bool
	// UnifiedPath is the container's folder in the cgroup2 hierarchy, "" if it has none.
	UnifiedPath string
	// Hierarchies are the v1 hierarchies in the order of their mounts.
	Hierarchies []CgroupHierarchy
}

// CgroupHierarchy is one v1 hierarchy.
type CgroupHierarchy struct {
	Dir         string   // name of its mount point below /sys/fs/cgroup: "cpu,cpuacct", "systemd"
	Controllers []string // "cpu", "cpuacct"; or "name=systemd": its mount options, too
	Path        string   // the container's folder on the host
}
