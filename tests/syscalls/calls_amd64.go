package syscalls

import "golang.org/x/sys/unix"

// none is a descriptor, a process or a command that there is not; far one that is too large a process id.
const (
	none = ^uintptr(0)
	far  = 0x7ffffffe
)

func calls(kind Kind) []Call {
	switch kind {
	case Native:
		list := append(allowed(), byArguments()...)
		return append(append(list, refused()...), newer()...)
	case X86:
		return x86()
	case X32:
		return x32()
	}
	return nil
}

// allowed lists calls that are allowed whatever their arguments.
//
// long: a table
func allowed() []Call {
	call := func(name string, number uintptr, args ...uintptr) Call {
		c := Call{Name: name, Number: number}
		copy(c.Args[:], args)
		return c
	}
	return []Call{
		// files
		call("read", unix.SYS_READ, none), call("write", unix.SYS_WRITE, none), call("open", unix.SYS_OPEN), call("close", unix.SYS_CLOSE, none),
		call("stat", unix.SYS_STAT), call("fstat", unix.SYS_FSTAT, none), call("lstat", unix.SYS_LSTAT), call("lseek", unix.SYS_LSEEK, none),
		call("ioctl", unix.SYS_IOCTL, none), call("pread64", unix.SYS_PREAD64, none), call("pwrite64", unix.SYS_PWRITE64, none),
		call("readv", unix.SYS_READV, none), call("writev", unix.SYS_WRITEV, none), call("access", unix.SYS_ACCESS), call("pipe", unix.SYS_PIPE),
		call("dup", unix.SYS_DUP, none), call("dup2", unix.SYS_DUP2, none), call("dup3", unix.SYS_DUP3, none, 5), call("sendfile", unix.SYS_SENDFILE, none),
		call("fcntl", unix.SYS_FCNTL, none), call("flock", unix.SYS_FLOCK, none), call("fsync", unix.SYS_FSYNC, none), call("fdatasync", unix.SYS_FDATASYNC, none),
		call("truncate", unix.SYS_TRUNCATE), call("ftruncate", unix.SYS_FTRUNCATE, none), call("getdents", unix.SYS_GETDENTS, none),
		call("getdents64", unix.SYS_GETDENTS64, none), call("getcwd", unix.SYS_GETCWD), call("chdir", unix.SYS_CHDIR), call("fchdir", unix.SYS_FCHDIR, none),
		call("rename", unix.SYS_RENAME), call("mkdir", unix.SYS_MKDIR), call("rmdir", unix.SYS_RMDIR), call("creat", unix.SYS_CREAT),
		call("link", unix.SYS_LINK), call("unlink", unix.SYS_UNLINK), call("symlink", unix.SYS_SYMLINK), call("readlink", unix.SYS_READLINK, 0, 0, 1),
		call("chmod", unix.SYS_CHMOD), call("fchmod", unix.SYS_FCHMOD, none), call("chown", unix.SYS_CHOWN), call("fchown", unix.SYS_FCHOWN, none),
		call("lchown", unix.SYS_LCHOWN), call("mknod", unix.SYS_MKNOD), call("statfs", unix.SYS_STATFS), call("fstatfs", unix.SYS_FSTATFS, none),
		call("chroot", unix.SYS_CHROOT), call("setxattr", unix.SYS_SETXATTR), call("getxattr", unix.SYS_GETXATTR), call("listxattr", unix.SYS_LISTXATTR),
		call("removexattr", unix.SYS_REMOVEXATTR), call("fgetxattr", unix.SYS_FGETXATTR, none), call("readahead", unix.SYS_READAHEAD, none),
		call("openat", unix.SYS_OPENAT), call("mkdirat", unix.SYS_MKDIRAT), call("mknodat", unix.SYS_MKNODAT), call("fchownat", unix.SYS_FCHOWNAT),
		call("newfstatat", unix.SYS_NEWFSTATAT), call("unlinkat", unix.SYS_UNLINKAT), call("renameat", unix.SYS_RENAMEAT), call("linkat", unix.SYS_LINKAT),
		call("symlinkat", unix.SYS_SYMLINKAT), call("readlinkat", unix.SYS_READLINKAT, 0, 0, 0, 1), call("fchmodat", unix.SYS_FCHMODAT),
		call("faccessat", unix.SYS_FACCESSAT), call("faccessat2", unix.SYS_FACCESSAT2, 0, 0, none), call("splice", unix.SYS_SPLICE, none, 0, none, 0, 1),
		call("tee", unix.SYS_TEE, none, none, 1), call("sync_file_range", unix.SYS_SYNC_FILE_RANGE, none), call("vmsplice", unix.SYS_VMSPLICE, none),
		call("utimensat", unix.SYS_UTIMENSAT, none), call("fallocate", unix.SYS_FALLOCATE, none), call("preadv", unix.SYS_PREADV, none),
		call("pwritev", unix.SYS_PWRITEV, none), call("preadv2", unix.SYS_PREADV2, none), call("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, 0, 0, 0, 0, none),
		call("syncfs", unix.SYS_SYNCFS, none), call("renameat2", unix.SYS_RENAMEAT2, 0, 0, 0, 0, 0xffff), call("memfd_create", unix.SYS_MEMFD_CREATE),
		call("memfd_secret", unix.SYS_MEMFD_SECRET, none), call("copy_file_range", unix.SYS_COPY_FILE_RANGE, none, 0, none),
		call("statx", unix.SYS_STATX, 0, 0, none), call("openat2", unix.SYS_OPENAT2), call("close_range", unix.SYS_CLOSE_RANGE, 1, 0),
		call("fanotify_mark", unix.SYS_FANOTIFY_MARK, none), call("inotify_add_watch", unix.SYS_INOTIFY_ADD_WATCH, none),
		call("inotify_init1", unix.SYS_INOTIFY_INIT1, none), call("landlock_create_ruleset", unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 0xffff),
		// memory
		call("brk", unix.SYS_BRK), call("mmap", unix.SYS_MMAP), call("mprotect", unix.SYS_MPROTECT, 1), call("munmap", unix.SYS_MUNMAP, 1),
		call("mremap", unix.SYS_MREMAP, 1), call("msync", unix.SYS_MSYNC, 1), call("mincore", unix.SYS_MINCORE, 1), call("madvise", unix.SYS_MADVISE, 1, 1),
		call("mlock", unix.SYS_MLOCK), call("mlockall", unix.SYS_MLOCKALL), call("mlock2", unix.SYS_MLOCK2, 0, 0, none), call("membarrier", unix.SYS_MEMBARRIER, none),
		call("pkey_alloc", unix.SYS_PKEY_ALLOC, none), call("pkey_free", unix.SYS_PKEY_FREE, none), call("modify_ldt", unix.SYS_MODIFY_LDT),
		// processes and threads
		call("getpid", unix.SYS_GETPID), call("getppid", unix.SYS_GETPPID), call("gettid", unix.SYS_GETTID), call("getuid", unix.SYS_GETUID),
		call("execve", unix.SYS_EXECVE), call("execveat", unix.SYS_EXECVEAT, 0, 0, 0, 0, none), call("wait4", unix.SYS_WAIT4, none, 0, unix.WNOHANG),
		call("waitid", unix.SYS_WAITID, none), call("kill", unix.SYS_KILL, far), call("tkill", unix.SYS_TKILL, none), call("tgkill", unix.SYS_TGKILL, none),
		call("pidfd_open", unix.SYS_PIDFD_OPEN, none), call("pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, none), call("process_mrelease", unix.SYS_PROCESS_MRELEASE, none),
		call("prctl", unix.SYS_PRCTL, none), call("arch_prctl", unix.SYS_ARCH_PRCTL, none), call("seccomp", unix.SYS_SECCOMP, none),
		call("ptrace", unix.SYS_PTRACE, unix.PTRACE_ATTACH, far), call("process_vm_readv", unix.SYS_PROCESS_VM_READV, 0, 0, 0, 0, 0, 1),
		call("process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, 0, 0, 0, 0, 0, 1), call("rseq", unix.SYS_RSEQ, 1), call("futex", unix.SYS_FUTEX),
		call("futex_waitv", unix.SYS_FUTEX_WAITV, 0, 0, 1), call("sched_yield", unix.SYS_SCHED_YIELD), call("sched_setattr", unix.SYS_SCHED_SETATTR, 0, 0, 1),
		call("sched_getaffinity", unix.SYS_SCHED_GETAFFINITY), call("getpriority", unix.SYS_GETPRIORITY, none), call("setpriority", unix.SYS_SETPRIORITY, none),
		call("prlimit64", unix.SYS_PRLIMIT64, 0, none), call("getrusage", unix.SYS_GETRUSAGE, 99), call("setpgid", unix.SYS_SETPGID, none),
		call("rt_sigaction", unix.SYS_RT_SIGACTION, none), call("sigaltstack", unix.SYS_SIGALTSTACK, 1), call("rt_sigpending", unix.SYS_RT_SIGPENDING, 0, 99),
		// users
		call("setreuid", unix.SYS_SETREUID, none, none), call("setresuid", unix.SYS_SETRESUID, none, none, none), call("setgroups", unix.SYS_SETGROUPS, none),
		call("capget", unix.SYS_CAPGET), call("capset", unix.SYS_CAPSET), call("getgroups", unix.SYS_GETGROUPS, none),
		// sockets, pollers and timers
		call("socketpair", unix.SYS_SOCKETPAIR, none), call("connect", unix.SYS_CONNECT, none), call("accept", unix.SYS_ACCEPT, none), call("accept4", unix.SYS_ACCEPT4, none),
		call("sendto", unix.SYS_SENDTO, none), call("recvfrom", unix.SYS_RECVFROM, none), call("sendmsg", unix.SYS_SENDMSG, none), call("bind", unix.SYS_BIND, none),
		call("listen", unix.SYS_LISTEN, none), call("getsockopt", unix.SYS_GETSOCKOPT, none), call("setsockopt", unix.SYS_SETSOCKOPT, none, 0, 0, 0, 4),
		call("epoll_create1", unix.SYS_EPOLL_CREATE1, none), call("epoll_ctl", unix.SYS_EPOLL_CTL, none, unix.EPOLL_CTL_DEL, none), call("epoll_pwait2", unix.SYS_EPOLL_PWAIT2, none),
		call("eventfd2", unix.SYS_EVENTFD2, 0, none), call("signalfd4", unix.SYS_SIGNALFD4, none), call("timerfd_create", unix.SYS_TIMERFD_CREATE, 99),
		call("timer_create", unix.SYS_TIMER_CREATE, 99), call("clock_gettime", unix.SYS_CLOCK_GETTIME, 99), call("clock_adjtime", unix.SYS_CLOCK_ADJTIME),
		call("getrandom", unix.SYS_GETRANDOM, 0, 0, none), call("uname", unix.SYS_UNAME), call("sysinfo", unix.SYS_SYSINFO),
		// System V and POSIX communication, asynchronous files
		call("shmget", unix.SYS_SHMGET), call("shmat", unix.SYS_SHMAT, none), call("semget", unix.SYS_SEMGET, 0, none), call("msgctl", unix.SYS_MSGCTL, none),
		call("mq_open", unix.SYS_MQ_OPEN), call("mq_unlink", unix.SYS_MQ_UNLINK), call("io_setup", unix.SYS_IO_SETUP), call("io_submit", unix.SYS_IO_SUBMIT),
	}
}

// byArguments lists calls that hang on their arguments.
func byArguments() []Call {
	const (
		badType  = 0xf               // for socket: EINVAL, whatever the family
		badClone = unix.CLONE_THREAD // without CLONE_SIGHAND: EINVAL
	)
	list := []Call{
		{"socket AF_UNIX", Allowed, unix.SYS_SOCKET, [6]uintptr{unix.AF_UNIX, badType}},
		{"socket AF_INET", Allowed, unix.SYS_SOCKET, [6]uintptr{unix.AF_INET, badType}},
		{"socket AF_NETLINK", Allowed, unix.SYS_SOCKET, [6]uintptr{unix.AF_NETLINK, badType}},
		{"socket 39", Allowed, unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK - 1, badType}},
		{"socket AF_VSOCK", Refused, unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK, badType}},
		{"socket 41", Allowed, unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK + 1, badType}},
		{"clone of a thread", Allowed, unix.SYS_CLONE, [6]uintptr{badClone}},
		{"clone3", Absent, unix.SYS_CLONE3, [6]uintptr{}},
		{"personality 1", Refused, unix.SYS_PERSONALITY, [6]uintptr{1}},
		{"personality ADDR_NO_RANDOMIZE", Refused, unix.SYS_PERSONALITY, [6]uintptr{0x40000}},
		{"personality 0x20001", Refused, unix.SYS_PERSONALITY, [6]uintptr{0x20001}},
		{"personality PER_LINUX32", Allowed, unix.SYS_PERSONALITY, [6]uintptr{8}},
		{"personality UNAME26", Allowed, unix.SYS_PERSONALITY, [6]uintptr{0x20000}},
		{"personality UNAME26 PER_LINUX32", Allowed, unix.SYS_PERSONALITY, [6]uintptr{0x20008}},
		{"personality to ask", Allowed, unix.SYS_PERSONALITY, [6]uintptr{0xffffffff}},
		{"personality PER_LINUX", Allowed, unix.SYS_PERSONALITY, [6]uintptr{0}},
	}
	for name, flag := range map[string]uintptr{"NEWNS": unix.CLONE_NEWNS, "NEWUTS": unix.CLONE_NEWUTS, "NEWIPC": unix.CLONE_NEWIPC, "NEWUSER": unix.CLONE_NEWUSER,
		"NEWPID": unix.CLONE_NEWPID, "NEWNET": unix.CLONE_NEWNET, "NEWCGROUP": unix.CLONE_NEWCGROUP} {
		list = append(list, Call{"clone CLONE_" + name, Refused, unix.SYS_CLONE, [6]uintptr{badClone | flag}})
	}
	return list
}

// refused lists calls that the profile leaves out, or has for other capabilities only.
func refused() []Call {
	call := func(name string, number uintptr, args ...uintptr) Call {
		c := Call{Name: name, Number: number, Want: Refused}
		copy(c.Args[:], args)
		return c
	}
	const badFlags = 0xffffffff
	return []Call{
		call("keyctl", unix.SYS_KEYCTL, none), call("add_key", unix.SYS_ADD_KEY), call("request_key", unix.SYS_REQUEST_KEY),
		call("mount", unix.SYS_MOUNT), call("umount2", unix.SYS_UMOUNT2, 0, badFlags), call("pivot_root", unix.SYS_PIVOT_ROOT),
		call("fsopen", unix.SYS_FSOPEN, 0, badFlags), call("fsconfig", unix.SYS_FSCONFIG, none, 99), call("fsmount", unix.SYS_FSMOUNT, none, badFlags),
		call("fspick", unix.SYS_FSPICK, 0, 0, badFlags), call("open_tree", unix.SYS_OPEN_TREE, none, 0, badFlags), call("move_mount", unix.SYS_MOVE_MOUNT, none, 0, none, 0, badFlags),
		call("mount_setattr", unix.SYS_MOUNT_SETATTR, none, 0, badFlags), call("unshare CLONE_NEWUSER", unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_IO),
		call("unshare CLONE_FILES", unix.SYS_UNSHARE, unix.CLONE_FILES), call("setns", unix.SYS_SETNS, none), call("bpf", unix.SYS_BPF, none, 0, badFlags),
		call("perf_event_open", unix.SYS_PERF_EVENT_OPEN), call("userfaultfd", unix.SYS_USERFAULTFD, badFlags), call("io_uring_setup", unix.SYS_IO_URING_SETUP),
		call("io_uring_enter", unix.SYS_IO_URING_ENTER, none), call("io_uring_register", unix.SYS_IO_URING_REGISTER, none, 99),
		call("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, none), call("fanotify_init", unix.SYS_FANOTIFY_INIT, badFlags),
		call("init_module", unix.SYS_INIT_MODULE), call("finit_module", unix.SYS_FINIT_MODULE, none), call("delete_module", unix.SYS_DELETE_MODULE),
		call("kexec_load", unix.SYS_KEXEC_LOAD, 0, 99, 0, badFlags), call("kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, none, none, 0, 0, badFlags),
		call("reboot", unix.SYS_REBOOT), call("swapon", unix.SYS_SWAPON, 0, badFlags), call("swapoff", unix.SYS_SWAPOFF), call("acct", unix.SYS_ACCT, 1),
		call("quotactl", unix.SYS_QUOTACTL, badFlags), call("quotactl_fd", unix.SYS_QUOTACTL_FD, none), call("iopl", unix.SYS_IOPL, 4), call("ioperm", unix.SYS_IOPERM, none, 1),
		call("settimeofday", unix.SYS_SETTIMEOFDAY, 1), call("clock_settime", unix.SYS_CLOCK_SETTIME, 99), call("sethostname", unix.SYS_SETHOSTNAME, 0, none),
		call("setdomainname", unix.SYS_SETDOMAINNAME, 0, none), call("syslog", unix.SYS_SYSLOG, 99), call("vhangup", unix.SYS_VHANGUP),
		call("kcmp", unix.SYS_KCMP, far, far), call("pidfd_getfd", unix.SYS_PIDFD_GETFD, none), call("process_madvise", unix.SYS_PROCESS_MADVISE, none),
		call("move_pages", unix.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, badFlags), call("migrate_pages", unix.SYS_MIGRATE_PAGES, far),
		call("mbind", unix.SYS_MBIND, 1, 1, 99), call("set_mempolicy", unix.SYS_SET_MEMPOLICY, 99), call("get_mempolicy", unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 99),
		call("lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE), call("ustat", unix.SYS_USTAT), call("sysfs", unix.SYS_SYSFS, 99), call("uselib", unix.SYS_USELIB),
		call("nfsservctl", unix.SYS_NFSSERVCTL), call("_sysctl", unix.SYS__SYSCTL), call("create_module", unix.SYS_CREATE_MODULE), call("afs_syscall", unix.SYS_AFS_SYSCALL),
	}
}

// newer lists calls that are newer than the profile, or than a libseccomp that may be in use.
func newer() []Call {
	const badFlags = 0xffffffff
	return []Call{
		{"cachestat", Newer, unix.SYS_CACHESTAT, [6]uintptr{none}},
		{"fchmodat2", Newer, unix.SYS_FCHMODAT2, [6]uintptr{0, 0, 0, badFlags}},
		{"map_shadow_stack", Newer, unix.SYS_MAP_SHADOW_STACK, [6]uintptr{1, 1, badFlags}},
		{"futex_wake", Newer, unix.SYS_FUTEX_WAKE, [6]uintptr{0, 0, 0, badFlags}},
		{"futex_wait", Newer, unix.SYS_FUTEX_WAIT, [6]uintptr{0, 0, 0, badFlags}},
		{"statmount", Newer, unix.SYS_STATMOUNT, [6]uintptr{0, 0, 0, badFlags}},
		{"listmount", Newer, unix.SYS_LISTMOUNT, [6]uintptr{0, 0, 0, badFlags}},
		{"mseal", Newer, unix.SYS_MSEAL, [6]uintptr{0, 0, badFlags}},
		{"setxattrat", Newer, unix.SYS_SETXATTRAT, [6]uintptr{none, 0, badFlags}},
		{"removexattrat", Newer, unix.SYS_REMOVEXATTRAT, [6]uintptr{none, 0, badFlags}},
		{"open_tree_attr", Absent, unix.SYS_OPEN_TREE_ATTR, [6]uintptr{none, 0, badFlags}},
		{"file_getattr", Absent, unix.SYS_FILE_GETATTR, [6]uintptr{none, 0, 0, 0, badFlags}},
		{"file_setattr", Absent, unix.SYS_FILE_SETATTR, [6]uintptr{none, 0, 0, 0, badFlags}},
		{"call 600", Absent, 600, [6]uintptr{}},
		{"call 0x3fffffff", Absent, 0x3fffffff, [6]uintptr{}},
	}
}

// x86 lists calls by the numbers of 32-bit programs (arch/x86/entry/syscalls/syscall_32.tbl), some of which 64-bit ones have not.
func x86() []Call {
	return []Call{
		{"getpid", Allowed, 20, [6]uintptr{}}, {"read", Allowed, 3, [6]uintptr{none}}, {"open", Allowed, 5, [6]uintptr{}},
		{"waitpid", Allowed, 7, [6]uintptr{none, 0, 1}}, {"ptrace", Allowed, 26, [6]uintptr{16, far}}, {"socketcall", Allowed, 102, [6]uintptr{99}},
		{"ipc", Allowed, 117, [6]uintptr{99}}, {"_llseek", Allowed, 140, [6]uintptr{none}}, {"mmap2", Allowed, 192, [6]uintptr{}},
		{"fcntl64", Allowed, 221, [6]uintptr{none}}, {"set_thread_area", Allowed, 243, [6]uintptr{}}, {"clock_gettime64", Allowed, 403, [6]uintptr{99}},
		{"futex_time64", Allowed, 422, [6]uintptr{}}, {"openat2", Allowed, 437, [6]uintptr{}}, {"futex_waitv", Allowed, 449, [6]uintptr{0, 0, 1}},
		{"personality to ask", Allowed, 136, [6]uintptr{0xffffffff}}, {"personality 1", Refused, 136, [6]uintptr{1}},
		{"socket AF_UNIX", Allowed, 359, [6]uintptr{1, 0xf}}, {"socket AF_VSOCK", Refused, 359, [6]uintptr{40, 0xf}},
		{"clone CLONE_NEWUSER", Refused, 120, [6]uintptr{unix.CLONE_THREAD | unix.CLONE_NEWUSER}}, {"clone of a thread", Allowed, 120, [6]uintptr{unix.CLONE_THREAD}},
		{"mount", Refused, 21, [6]uintptr{}}, {"umount", Refused, 22, [6]uintptr{}}, {"stime", Refused, 25, [6]uintptr{}},
		{"keyctl", Refused, 288, [6]uintptr{none}}, {"add_key", Refused, 286, [6]uintptr{}}, {"unshare CLONE_FILES", Refused, 310, [6]uintptr{unix.CLONE_FILES}},
		{"setns", Refused, 346, [6]uintptr{none}}, {"bpf", Refused, 357, [6]uintptr{none, 0, 0xffffffff}}, {"vm86", Refused, 166, [6]uintptr{99}},
		{"clock_settime64", Refused, 404, [6]uintptr{99}}, {"io_uring_setup", Refused, 425, [6]uintptr{}},
		{"clone3", Absent, 435, [6]uintptr{}}, {"cachestat", Newer, 451, [6]uintptr{none}}, {"file_getattr", Absent, 468, [6]uintptr{none, 0, 0, 0, 0xffffffff}},
		{"call 600", Absent, 600, [6]uintptr{}},
	}
}

// x32 lists calls by the numbers of x32, which most kernels do not have: what passes the filter is ENOSYS there.
func x32() []Call {
	return []Call{
		{"getpid", Allowed, unix.SYS_GETPID, [6]uintptr{}}, {"close", Allowed, unix.SYS_CLOSE, [6]uintptr{none}},
		{"personality to ask", Allowed, unix.SYS_PERSONALITY, [6]uintptr{0xffffffff}}, {"personality 1", Refused, unix.SYS_PERSONALITY, [6]uintptr{1}},
		{"socket AF_VSOCK", Refused, unix.SYS_SOCKET, [6]uintptr{unix.AF_VSOCK, 0xf}},
		{"clone CLONE_NEWUSER", Refused, unix.SYS_CLONE, [6]uintptr{unix.CLONE_THREAD | unix.CLONE_NEWUSER}},
		{"mount", Refused, unix.SYS_MOUNT, [6]uintptr{}}, {"keyctl", Refused, unix.SYS_KEYCTL, [6]uintptr{none}},
		{"unshare CLONE_FILES", Refused, unix.SYS_UNSHARE, [6]uintptr{unix.CLONE_FILES}}, {"setns", Refused, unix.SYS_SETNS, [6]uintptr{none}},
		{"bpf", Refused, unix.SYS_BPF, [6]uintptr{none, 0, 0xffffffff}}, {"ptrace of x32", Allowed, 521, [6]uintptr{16, far}},
	}
}
