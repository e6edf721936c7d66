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
		// It goes with a listener alone.
		{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "5.19"},
	}
}

// seccompFlag asks for a filter at no address: the kernel looks at the flags before.
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

// seccompAction looks for an action among those of the kernel (seccomp(2), "/proc interfaces").
func (a *asking) seccompAction(n needs.Need) error {
	name := kernelAction(n.Name)
	if name == "" {
		return errUnknown
	}
	text := a.text("/proc/sys/kernel/seccomp/actions_avail")
	if text == "" {
		return lacks("the kernel has no seccomp filters")
	}
	if !slices.Contains(strings.Fields(text), name) {
		return &Lack{Text: "the kernel has no seccomp action " + name, Since: actionSince(name)}
	}
	return nil
}

// kernelAction returns the kernel's name of an action.
func kernelAction(name string) string {
	switch name {
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return "kill_thread"
	case "SCMP_ACT_KILL_PROCESS":
		return "kill_process"
	case "SCMP_ACT_TRAP":
		return "trap"
	case "SCMP_ACT_ERRNO":
		return "errno"
	case "SCMP_ACT_TRACE":
		return "trace"
	case "SCMP_ACT_ALLOW":
		return "allow"
	case "SCMP_ACT_LOG":
		return "log"
	case "SCMP_ACT_NOTIFY":
		return "user_notif"
	}
	return ""
}

func actionSince(name string) string {
	switch name {
	case "kill_process", "log":
		return "4.14"
	case "user_notif":
		return "5.0"
	}
	return ""
}
