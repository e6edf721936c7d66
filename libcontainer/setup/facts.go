package setup

// Facts is what the planner must know about the host and the caller, gathered beforehand. With the
// zero value it plans for an unknown host: no capability is left out and every bind source counts
// as a directory.
type Facts struct {
	// LastCap is the highest capability that the kernel knows (/proc/sys/kernel/cap_last_cap). 0
	// means 40, CAP_CHECKPOINT_RESTORE.
	LastCap uint
	// Grantable is the set of capabilities that the runtime has and so can grant, bit by number.
	// Others are left out with a warning. 0 means all.
	Grantable uint64
	// SourceIsFile says for each mount of the bundle (same index) that the source of a bind mount
	// is not a directory. A missing mount point is then created as a file.
	SourceIsFile []bool
	// SourceInRoot has for each mount of the bundle (same index) the path in the container's root
	// of a bind source that earlier mounts provide or cover, "" for all others. nil means that
	// there is none.
	SourceInRoot []string
	// SourceLink has for each mount with copy-symlink (same index) the target of the source, "" if
	// it is not a symbolic link.
	SourceLink []string
	// DirectoryMode has for each mount of the bundle (same index) the permission bits of the
	// image's directory at its destination, 0 for none. A tmpfs that is configured without a mode
	// gets these.
	DirectoryMode []uint32
	// Cgroup describes the container's cgroup as its hierarchies are mounted on the host.
	Cgroup  CgroupFacts
	Streams StreamFacts
	// TimerSlack is the process's timer slack in nanoseconds, 0 for that of the thread that starts
	// it.
	TimerSlack int
	// Ignored are the signals that the runtime ignores, such as SIGHUP under nohup. Bit 0 is signal
	// 1. A program would inherit them, but a container's program starts with all default actions.
	Ignored uint64
	// RootParent is the mount point on the host that contains the root filesystem, for
	// rootfsPropagation "shared".
	RootParent string
	// Pseudo are the mount points of procfs and sysfs on the host, outermost first, for
	// Options.NoPivot. nil means /proc and /sys.
	Pseudo []string
	// Shared are the runtime's own namespaces (CLONE_NEW*) that the container joins by a path: see
	// checkShared.
	Shared uintptr
	// Hostname and Domainname are those of the runtime's UTS namespace, if that is in Shared.
	Hostname, Domainname string
	// ProcOfOthers is set when the kernel also mounts a procfs of a PID namespace that the caller
	// is not in (pidns=, since Linux 6.17).
	ProcOfOthers bool
	// Umask is the runtime's own, for hooks that run with the runtime's privileges.
	Umask uint32
	// AppArmor and SELinux report which security modules can confine the process.
	AppArmor, SELinux bool
	// Confined is set when an AppArmor profile confines the runtime itself.
	Confined bool
	// Seccomp is the compiled filter of linux.seccomp; nil without one.
	Seccomp *SeccompFilter
	UserFacts
}

// UserFacts describes user namespaces: the container's, or one that the runtime itself is in. The
// zero value describes a runtime that is root on the host.
type UserFacts struct {
	// Users is the mapping of the container's user namespace where that is joined. nil means that
	// it is not known and all IDs count as mapped.
	Users *IDMap
	// Unprivileged is set when the runtime may not mount (CAP_SYS_ADMIN).
	Unprivileged bool
	// Nested is set when the runtime is in a user namespace that is not the initial one.
	Nested bool
	// Foreign are the namespaces (CLONE_NEW*) that the container joins or shares, and that do not
	// belong to its user namespace.
	Foreign uintptr
	// SetgroupsDenied is set when setgroups(2) is denied in the container's user namespace, or in
	// the runtime's if the container has none.
	SetgroupsDenied bool
	// HardLimits are the runtime's own hard limits, by resource (RLIMIT_*).
	HardLimits []uint64
	// LeastOOMScore is the least oom_score_adj that the runtime may set; nil means any.
	LeastOOMScore *int
}

// CgroupFacts is what a mount of type cgroup or cgroup2 shows the container.
type CgroupFacts struct {
	// Unified is true when the host only has cgroup2. A mount of type cgroup is then one of
	// cgroup2.
	Unified bool
	// UnifiedPath is the container's directory in the cgroup2 hierarchy, "" if it has none.
	UnifiedPath string
	// Hierarchies are the v1 hierarchies in the order of their mounts.
	Hierarchies []CgroupHierarchy
}

// CgroupHierarchy is one v1 hierarchy.
type CgroupHierarchy struct {
	Dir         string   // name of its mount point below /sys/fs/cgroup: "cpu,cpuacct", "systemd"
	Controllers []string // "cpu", "cpuacct"; or "name=systemd": its mount options, too
	Path        string   // the container's directory on the host
}
