package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// plainEnv is set for a process that has reset the attributes of its caller.
const plainEnv = "ORLOP_DIFFERENTIAL_PLAIN"

// becomePlain gives this program the attributes of an ordinary caller, by executing it again: cases
// show the same whoever started the tester. The nice value stays, for it is how people keep a long
// run out of the way.
func becomePlain() error {
	if os.Geteuid() != 0 || os.Getenv(plainEnv) != "" {
		return nil
	}
	// Masks, scheduling and capabilities belong to the thread.
	runtime.LockOSThread()
	for _, reset := range []func() error{resetSignals, resetLimits, resetScheduling, resetCredentials, resetFiles} {
		if err := reset(); err != nil {
			return err
		}
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), plainEnv+"=1"))
}

// resetSignals gives each ignored signal its default action and unblocks all. Package os/signal
// does not know those that the C library keeps to itself, which make leaves ignored.
func resetSignals() error {
	// struct sigaction of the kernel on amd64 and arm64.
	var now, byDefault struct {
		handler         uintptr
		flags, restorer uint64
		mask            uint64
	}
	call := func(s unix.Signal, set, old unsafe.Pointer) error {
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(set), uintptr(old), unsafe.Sizeof(now.mask), 0, 0); errno != 0 {
			return fmt.Errorf("rt_sigaction %d: %w", s, errno)
		}
		return nil
	}
	for s := unix.Signal(1); s <= 64; s++ {
		if err := call(s, nil, unsafe.Pointer(&now)); err != nil {
			return err
		}
		if now.handler != 1 { // SIG_IGN
			continue
		}
		if err := call(s, unsafe.Pointer(&byDefault), nil); err != nil {
			return err
		}
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil); err != nil {
		return fmt.Errorf("unblock signals: %w", err)
	}
	return nil
}

// resetLimits sets the limits of a service, as far as the hard limits can be raised.
func resetLimits() error {
	const infinity = math.MaxUint64 // unix.RLIM_INFINITY, which is negative
	limits := map[int]unix.Rlimit{
		unix.RLIMIT_AS: {Cur: infinity, Max: infinity}, unix.RLIMIT_CORE: {Cur: 0, Max: infinity}, unix.RLIMIT_CPU: {Cur: infinity, Max: infinity},
		unix.RLIMIT_DATA: {Cur: infinity, Max: infinity}, unix.RLIMIT_FSIZE: {Cur: infinity, Max: infinity}, unix.RLIMIT_LOCKS: {Cur: infinity, Max: infinity},
		unix.RLIMIT_MEMLOCK: {Cur: 8 << 20, Max: 8 << 20}, unix.RLIMIT_MSGQUEUE: {Cur: 819200, Max: 819200}, unix.RLIMIT_NICE: {},
		unix.RLIMIT_NOFILE: {Cur: 1024, Max: 4096}, unix.RLIMIT_NPROC: {Cur: 8192, Max: 8192}, unix.RLIMIT_RSS: {Cur: infinity, Max: infinity},
		unix.RLIMIT_RTPRIO: {}, unix.RLIMIT_RTTIME: {Cur: infinity, Max: infinity}, unix.RLIMIT_SIGPENDING: {Cur: 8192, Max: 8192},
		unix.RLIMIT_STACK: {Cur: 8 << 20, Max: infinity},
	}
	for resource, limit := range limits {
		// Through syscall: its Exec would put back the limit of files that Go has raised at the
		// start.
		err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max})
		if errors.Is(err, unix.EPERM) {
			var now syscall.Rlimit
			if err = syscall.Getrlimit(resource, &now); err == nil {
				err = syscall.Setrlimit(resource, &syscall.Rlimit{Cur: min(limit.Cur, now.Max), Max: now.Max})
			}
		}
		if err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
	}
	return nil
}

// resetScheduling lets the process run on all processors, by the ordinary policies.
func resetScheduling() error {
	var all unix.CPUSet
	for i := range all {
		all[i] = math.MaxUint
	}
	if err := unix.SchedSetaffinity(0, &all); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("scheduling policy: %w", err)
	}
	if attr.Policy != 0 { // SCHED_OTHER
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0); err != nil {
			return fmt.Errorf("scheduling policy: %w", err)
		}
	}
	const whoProcess, none = 1, 0
	if _, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, none); errno != 0 {
		return fmt.Errorf("ioprio_set: %w", errno)
	}
	return nil
}

// resetCredentials drops what a caller has beside root's ordinary rights.
func resetCredentials() error {
	// By the thread alone: the others end with the old program.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("setgroups: %w", errno)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	caps[0].Inheritable, caps[1].Inheritable = 0, 0 // and with them the ambient ones
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	if _, err := unix.KeyctlJoinSessionKeyring("differential"); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("session keyring: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("securebits: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 50000, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("huge pages: %w", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, 0, 0, 0); errno != 0 {
		return fmt.Errorf("personality: %w", errno)
	}
	return nil
}

// resetFiles sets what belongs to files: the umask, descriptors, and settings in /proc.
func resetFiles() error {
	unix.Umask(0o022)
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	// Without the right to it, it stays.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0); err != nil && !errors.Is(err, unix.EACCES) {
		return err
	}
	return nil
}
