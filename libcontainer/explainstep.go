package libcontainer

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/setup"
)

// explainStep says what failed, and what the kernel's answer stands for where that is not plain.
func explainStep(s *setup.StepError) string {
	text := s.Title
	if s.Call != "" {
		text += ": " + s.Call
	}
	text += ": " + s.Errno.Error()
	if why := whyFailed(s.Call, s.Errno); why != "" {
		text += " (" + why + ")"
	}
	return text
}

func whyFailed(call string, errno unix.Errno) string {
	switch call {
	case "fsopen":
		if errno == unix.ENODEV {
			return "the kernel has no such file system, nor a module for it"
		}
	case "fsconfig":
		switch errno {
		case unix.EINVAL:
			return "the file system does not take this here"
		case unix.EPERM:
			return "the kernel does not let this file system be made in a user namespace"
		}
	case "fsmount":
		if errno == unix.EPERM {
			return "the host's own is covered in part, and a new one would show what is hidden"
		}
	case "unshare":
		switch errno {
		case unix.ENOSPC:
			return "one of the sysctls user.max_*_namespaces is reached"
		case unix.EPERM:
			return "it takes CAP_SYS_ADMIN, or a user namespace"
		}
	case "setns":
		if errno == unix.EPERM {
			return "it takes rights in the user namespace that the namespace belongs to"
		}
	case "openat2":
		if errno == unix.ENOENT {
			return "the kernel has no such parameter in the container's namespaces"
		}
	case "mknodat":
		if errno == unix.EPERM {
			return "it takes CAP_MKNOD on the host"
		}
	case "setgroups":
		if errno == unix.EPERM {
			return "the user namespace has no setgroups"
		}
	case "mount_setattr":
		if errno == unix.EINVAL {
			return "the kernel, or what is mounted there, does not have this attribute"
		}
	}
	return ""
}
