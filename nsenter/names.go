package nsenter

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Name returns the name of the operation's system call, for messages.
func (o Op) Name() string { return opName(o.code) }

// opName names the system calls that programs consist of. The message for an unlisted number is
// still clear.
func opName(code uint16) string {
	switch code {
	case opSet:
		return "set"
	case opStore:
		return "store"
	case opLoad:
		return "load"
	}
	if int(code) < firstPseudo {
		for _, n := range syscallNames() {
			if n.nr == uintptr(code) {
				return n.name
			}
		}
	}
	return fmt.Sprintf("system call %d", code)
}

type syscallName struct {
	nr   uintptr
	name string
}

// syscallNames returns the names, sorted.
//
// long: one line for each call
func syscallNames() []syscallName {
	return []syscallName{
		{unix.SYS_ACCEPT4, "accept4"},
		{unix.SYS_ADD_KEY, "add_key"},
		{unix.SYS_BIND, "bind"},
		{unix.SYS_CAPSET, "capset"},
		{unix.SYS_CHDIR, "chdir"},
		{unix.SYS_CHROOT, "chroot"},
		{unix.SYS_CLONE, "clone"},
		{unix.SYS_CLONE3, "clone3"},
		{unix.SYS_CLOSE, "close"},
		{unix.SYS_CLOSE_RANGE, "close_range"},
		{unix.SYS_CONNECT, "connect"},
		{unix.SYS_DUP3, "dup3"},
		{unix.SYS_EXECVE, "execve"},
		{unix.SYS_EXECVEAT, "execveat"},
		{unix.SYS_EXIT_GROUP, "exit_group"},
		{unix.SYS_FACCESSAT2, "faccessat2"},
		{unix.SYS_FCHDIR, "fchdir"},
		{unix.SYS_FCHMOD, "fchmod"},
		{unix.SYS_FCHMODAT, "fchmodat"},
		{unix.SYS_FCHOWN, "fchown"},
		{unix.SYS_FCHOWNAT, "fchownat"},
		{unix.SYS_FCNTL, "fcntl"},
		{unix.SYS_FGETXATTR, "fgetxattr"},
		{unix.SYS_FSCONFIG, "fsconfig"},
		{unix.SYS_FSETXATTR, "fsetxattr"},
		{unix.SYS_FSMOUNT, "fsmount"},
		{unix.SYS_FSOPEN, "fsopen"},
		{unix.SYS_FSPICK, "fspick"},
		{unix.SYS_FSTAT, "fstat"},
		{unix.SYS_FSTATFS, "fstatfs"},
		{unix.SYS_FTRUNCATE, "ftruncate"},
		{unix.SYS_FUTEX, "futex"},
		{unix.SYS_GETCPU, "getcpu"},
		{unix.SYS_GETDENTS64, "getdents64"},
		{unix.SYS_GETPID, "getpid"},
		{unix.SYS_IOCTL, "ioctl"},
		{unix.SYS_IOPRIO_SET, "ioprio_set"},
		{unix.SYS_KEYCTL, "keyctl"},
		{unix.SYS_KILL, "kill"},
		{unix.SYS_LANDLOCK_ADD_RULE, "landlock_add_rule"},
		{unix.SYS_LANDLOCK_CREATE_RULESET, "landlock_create_ruleset"},
		{unix.SYS_LANDLOCK_RESTRICT_SELF, "landlock_restrict_self"},
		{unix.SYS_LINKAT, "linkat"},
		{unix.SYS_LISTEN, "listen"},
		{unix.SYS_LSEEK, "lseek"},
		{unix.SYS_MEMFD_CREATE, "memfd_create"},
		{unix.SYS_MKDIRAT, "mkdirat"},
		{unix.SYS_MKNODAT, "mknodat"},
		{unix.SYS_MLOCKALL, "mlockall"},
		{unix.SYS_MOUNT, "mount"},
		{unix.SYS_MOUNT_SETATTR, "mount_setattr"},
		{unix.SYS_MOVE_MOUNT, "move_mount"},
		{unix.SYS_OPEN_TREE, "open_tree"},
		{unix.SYS_OPENAT, "openat"},
		{unix.SYS_OPENAT2, "openat2"},
		{unix.SYS_PERSONALITY, "personality"},
		{unix.SYS_PIDFD_GETFD, "pidfd_getfd"},
		{unix.SYS_PIDFD_OPEN, "pidfd_open"},
		{unix.SYS_PIDFD_SEND_SIGNAL, "pidfd_send_signal"},
		{unix.SYS_PIVOT_ROOT, "pivot_root"},
		{unix.SYS_PPOLL, "ppoll"},
		{unix.SYS_PRCTL, "prctl"},
		{unix.SYS_PREAD64, "pread64"},
		{unix.SYS_PRLIMIT64, "prlimit64"},
		{unix.SYS_PWRITE64, "pwrite64"},
		{unix.SYS_READ, "read"},
		{unix.SYS_READLINKAT, "readlinkat"},
		{unix.SYS_RECVMSG, "recvmsg"},
		{unix.SYS_RENAMEAT2, "renameat2"},
		{unix.SYS_RT_SIGACTION, "rt_sigaction"},
		{unix.SYS_RT_SIGPROCMASK, "rt_sigprocmask"},
		{unix.SYS_SCHED_SETAFFINITY, "sched_setaffinity"},
		{unix.SYS_SCHED_SETATTR, "sched_setattr"},
		{unix.SYS_SCHED_SETSCHEDULER, "sched_setscheduler"},
		{unix.SYS_SECCOMP, "seccomp"},
		{unix.SYS_SENDMSG, "sendmsg"},
		{unix.SYS_SENDTO, "sendto"},
		{unix.SYS_SET_MEMPOLICY, "set_mempolicy"},
		{unix.SYS_SETDOMAINNAME, "setdomainname"},
		{unix.SYS_SETGID, "setgid"},
		{unix.SYS_SETGROUPS, "setgroups"},
		{unix.SYS_SETHOSTNAME, "sethostname"},
		{unix.SYS_SETNS, "setns"},
		{unix.SYS_SETPRIORITY, "setpriority"},
		{unix.SYS_SETRESGID, "setresgid"},
		{unix.SYS_SETRESUID, "setresuid"},
		{unix.SYS_SETSID, "setsid"},
		{unix.SYS_SETSOCKOPT, "setsockopt"},
		{unix.SYS_SETUID, "setuid"},
		{unix.SYS_SIGNALFD4, "signalfd4"},
		{unix.SYS_SOCKET, "socket"},
		{unix.SYS_SOCKETPAIR, "socketpair"},
		{unix.SYS_STATFS, "statfs"},
		{unix.SYS_STATMOUNT, "statmount"},
		{unix.SYS_STATX, "statx"},
		{unix.SYS_SYMLINKAT, "symlinkat"},
		{unix.SYS_UMASK, "umask"},
		{unix.SYS_UMOUNT2, "umount2"},
		{unix.SYS_UNLINKAT, "unlinkat"},
		{unix.SYS_UNSHARE, "unshare"},
		{unix.SYS_UTIMENSAT, "utimensat"},
		{unix.SYS_WAIT4, "wait4"},
		{unix.SYS_WAITID, "waitid"},
		{unix.SYS_WRITE, "write"},
	}
}

func cloneflagNames(flags uintptr) string {
	var names []string
	for _, f := range []struct {
		flag uintptr
		name string
	}{
		{unix.CLONE_NEWUSER, "user"}, {unix.CLONE_NEWPID, "pid"}, {unix.CLONE_NEWNET, "network"}, {unix.CLONE_NEWNS, "mount"},
		{unix.CLONE_NEWIPC, "ipc"}, {unix.CLONE_NEWUTS, "uts"}, {unix.CLONE_NEWCGROUP, "cgroup"},
	} {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	if names == nil {
		return "in the caller's namespaces"
	}
	return "new namespaces: " + strings.Join(names, ", ")
}
