package setup

import (
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestHint: the first matching row counts, and a rehearsal's part of an action has its hints.
func TestHint(t *testing.T) {
	scheduler := func(policy specs.LinuxSchedulerPolicy, priority int32) Action {
		return setScheduler{Scheduler: specs.Scheduler{Policy: policy, Priority: priority}}
	}
	for _, c := range []struct {
		action Action
		call   string
		errno  syscall.Errno
		want   string
	}{
		{nil, "fsopen", unix.ENODEV, "the kernel has no such filesystem, nor a module for it"},
		{newSession{}, "fsopen", unix.EPERM, ""},
		{newSession{}, "openat2", unix.ENOENT, ""},
		{trySysctl{}, "openat2", unix.ENOENT, "the kernel has no such parameter in the container's namespaces"},
		{bindMount{}, "", unix.ENOTDIR, "the source, a directory, cannot be mounted on a file or below one"},
		{bindMount{File: true}, "", unix.ENOTDIR, "the source, a file, cannot be mounted on a directory or below a file"},
		{tryBind{bindMount{InRoot: "/x"}}, "", unix.ENOTDIR, "a directory can only be mounted on a directory, a file only on a file, and neither below a file"},
		{tryNodes{}, "mknodat", unix.ENXIO, "the node cannot be made here, and the host's of that path is another device"},
		{tryNodes{}, "mknodat", unix.EPERM, "needs CAP_MKNOD on the host"},
		{scheduler(specs.SchedDeadline, 1), "sched_setattr", unix.EPERM,
			"needs CAP_SYS_NICE in the initial user namespace, and a cpuset with all processors of its root domain"},
		{scheduler(specs.SchedOther, 0), "sched_setattr", unix.EPERM, "needs CAP_SYS_NICE in the initial user namespace or RLIMIT_NICE"},
		{setMemoryPolicy{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferredMany}}, "set_mempolicy", unix.EINVAL,
			"none of these nodes has memory and is in the cpuset, or the kernel is older than 5.15"},
	} {
		if got := hint(c.action, c.call, c.errno); got != c.want {
			t.Errorf("%T, %s, %v: %q, want %q", c.action, c.call, c.errno, got, c.want)
		}
	}
}
