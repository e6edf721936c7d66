package host

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
)

// A filterFlag is a flag of seccomp(2).
type filterFlag struct {
	name  string
	flag  uintptr
	since string
}

func filterFlags() []filterFlag {
	return []filterFlag{
		{"SECCOMP_FILTER_FLAG_LOG", unix.SECCOMP_FILTER_FLAG_LOG, "4.14"},
		{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "4.17"},
		{"SECCOMP_FILTER_FLAG_TSYNC", unix.SECCOMP_FILTER_FLAG_TSYNC, "3.17"},
		// Valid only together with a listener.
		{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "5.19"},
	}
}

// seccompFlag installs a filter at address 0: the kernel checks the flags before it reads the
// filter.
func (a *asking) seccompFlag(n needs.Need) error {
	for _, f := range filterFlags() {
		if f.name != n.Name {
			continue
		}
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, f.flag, 0)
		if errors.Is(errno, unix.EFAULT) {
			return nil
		}
		return &Lack{Text: "the kernel has no " + n.Name, Since: f.since}
	}
	return errUnknown
}

// seccompActions returns the kernel's names of the actions, and the version of Linux that first has
// one that is newer than filters.
func seccompActions() []struct{ name, kernel, since string } {
	return []struct{ name, kernel, since string }{
		{"SCMP_ACT_ALLOW", "allow", ""},
		{"SCMP_ACT_ERRNO", "errno", ""},
		{"SCMP_ACT_KILL", "kill_thread", ""},
		{"SCMP_ACT_KILL_PROCESS", "kill_process", "4.14"},
		{"SCMP_ACT_KILL_THREAD", "kill_thread", ""},
		{"SCMP_ACT_LOG", "log", "4.14"},
		{"SCMP_ACT_NOTIFY", "user_notif", "5.0"},
		{"SCMP_ACT_TRACE", "trace", ""},
		{"SCMP_ACT_TRAP", "trap", ""},
	}
}

// seccompAction looks for an action among those of the kernel (seccomp(2), "/proc interfaces").
func (a *asking) seccompAction(n needs.Need) error {
	for _, action := range seccompActions() {
		if action.name != n.Name {
			continue
		}
		text := a.text("/proc/sys/kernel/seccomp/actions_avail")
		switch {
		case text == "":
			return lacks("the kernel has no seccomp filters")
		case !slices.Contains(strings.Fields(text), action.kernel):
			return &Lack{Text: "the kernel has no seccomp action " + action.kernel, Since: action.since}
		}
		return nil
	}
	return errUnknown
}
