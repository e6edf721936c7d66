package setup

import (
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hint returns what an error of an action's call means, "" where that is plain. The action is nil
// when only the state record describes it.
//
// long: a table
func hint(a Action, call string, errno syscall.Errno) string {
	if t, ok := a.(interface{ tried() Action }); ok { // a part of a rehearsal
		a = t.tried()
	}
	for _, h := range [...]struct {
		call  string // "" for any
		errno syscall.Errno
		when  func(Action) bool // nil for any
		text  string
	}{
		// Not "is a directory", which scripts look for in errors about programs.
		{"", unix.ENOTDIR, when(func(m bindMount) bool { return m.InRoot != "" }),
			"a directory can only be mounted on a directory, a file only on a file, and neither below a file"},
		{"", unix.ENOTDIR, when(func(m bindMount) bool { return m.File }), "the source, a file, cannot be mounted on a directory or below a file"},
		{"", unix.ENOTDIR, when[bindMount](nil), "the source, a directory, cannot be mounted on a file or below one"},
		{"", unix.EEXIST, when[copyLink](nil), "the destination exists and is not the same symbolic link as the source"},
		{"", unix.ENODEV, when[openConsole](nil), "/dev/pts of the container is not a devpts"},
		{"", unix.EXDEV, when[openConsole](nil), "something is mounted over /dev/pts/ptmx of the container"},
		// The process itself refuses to bind a node of the host for another device.
		{"", unix.ENXIO, when[makeDevice](nil), "the node cannot be made here, and the host's of that path is another device"},
		{"", unix.ENOENT, when[makeDevice](nil), "the node cannot be made here, and the host has none of that path"},

		{"", unix.EINVAL, when[setAffinity](nil), "none of these processors is online and in the cpuset"},
		{"", unix.EINVAL, policy(specs.SchedISO), "Linux reserves a number for this policy but has never implemented it"},
		{"", unix.EINVAL, policy(specs.SchedDeadline), "a period is bounded by the sysctls kernel.sched_deadline_period_{min,max}_us"},
		{"", unix.EBUSY, policy(specs.SchedDeadline), "not enough deadline bandwidth is left"},
		{"", unix.EOPNOTSUPP, when[setScheduler](nil), "the kernel has no utilization clamping"},
		{"", unix.EPERM, policy(specs.SchedDeadline),
			"needs CAP_SYS_NICE in the initial user namespace, and a cpuset with all processors of its root domain"},
		{"", unix.EPERM, when(func(s setScheduler) bool { return s.Scheduler.Priority != 0 }),
			"needs CAP_SYS_NICE in the initial user namespace or RLIMIT_RTPRIO, and in a cgroup v1 with real-time group scheduling " +
				"linux.resources.cpu.realtimeRuntime"},
		{"", unix.EPERM, when[setScheduler](nil), "needs CAP_SYS_NICE in the initial user namespace or RLIMIT_NICE"},
		{"", unix.EACCES, when[setScheduler](nil), "needs CAP_SYS_NICE in the initial user namespace or RLIMIT_NICE"},
		{"", unix.EPERM, when[setIOPriority](nil), "needs CAP_SYS_ADMIN or CAP_SYS_NICE in the initial user namespace"},
		{"", unix.ENOSYS, when[setMemoryPolicy](nil), "the kernel has no NUMA"},
		{"", unix.EINVAL, memory(specs.MpolWeightedInterleave), "none of these nodes has memory and is in the cpuset, or the kernel is older than 6.9"},
		{"", unix.EINVAL, memory(specs.MpolPreferredMany), "none of these nodes has memory and is in the cpuset, or the kernel is older than 5.15"},
		{"", unix.EINVAL, when[setMemoryPolicy](nil), "none of these nodes has memory and is in the cpuset"},

		{"fsopen", unix.ENODEV, nil, "the kernel has no such filesystem, nor a module for it"},
		{"fsconfig", unix.EINVAL, nil, "the filesystem does not accept this here"},
		{"fsconfig", unix.EPERM, nil, "the kernel does not allow this filesystem in a user namespace"},
		{"fsmount", unix.EPERM, nil, "the host's own is partly covered, and a new one would show what is hidden"},
		{"unshare", unix.ENOSPC, nil, "one of the sysctls user.max_*_namespaces is reached"},
		{"unshare", unix.EPERM, nil, "needs CAP_SYS_ADMIN, or a user namespace"},
		{"setns", unix.EPERM, nil, "needs privileges in the user namespace that owns the namespace"},
		{"openat2", unix.ENOENT, when[setSysctl](nil), "the kernel has no such parameter in the container's namespaces"},
		{"prlimit64", unix.EPERM, nil, "needs CAP_SYS_RESOURCE, and the sysctl fs.nr_open bounds RLIMIT_NOFILE"},
		{"mknodat", unix.EPERM, nil, "needs CAP_MKNOD on the host"},
		{"setgroups", unix.EPERM, nil, "the user namespace has no setgroups"},
		{"mount_setattr", unix.EINVAL, nil, "the kernel, or what is mounted there, does not have this attribute"},
	} {
		if errno == h.errno && (h.call == "" || h.call == call) && (h.when == nil || h.when(a)) {
			return h.text
		}
	}
	return ""
}

// when matches actions of type A for which also returns true; nil matches all of them.
func when[A Action](also func(A) bool) func(Action) bool {
	return func(a Action) bool {
		action, ok := a.(A)
		return ok && (also == nil || also(action))
	}
}

func policy(p specs.LinuxSchedulerPolicy) func(Action) bool {
	return when(func(s setScheduler) bool { return s.Scheduler.Policy == p })
}

func memory(m specs.MemoryPolicyModeType) func(Action) bool {
	return when(func(s setMemoryPolicy) bool { return s.Policy.Mode == m })
}
