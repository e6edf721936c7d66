// Package sys wraps Linux system calls for the runtime: interrupted calls are repeated, file
// descriptors are close-on-exec from the start, waits have deadlines.
package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Retry repeats a call as long as signals interrupt it. Go's own preemption sends signals often.
func Retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

// RetryErr is [Retry] for a call that returns only an error.
func RetryErr(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Pipe creates a pipe with blocking ends.
func Pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// Reap waits for a child and returns its status.
func Reap(pid int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	_, err := Retry(func() (int, error) { return unix.Wait4(pid, &status, unix.WALL, nil) })
	if err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", pid, err)
	}
	return status, nil
}

// CloneArgs is struct clone_args of clone3(2) up to the field cgroup.
type CloneArgs struct {
	Flags, Pidfd, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS, SetTID, SetTIDSize, Cgroup uint64
}

// Names are the fields of struct utsname as strings.
type Names struct{ Release, Version, Machine, Hostname, Domainname string }

// Uname returns the names of the kernel and of the calling thread's UTS namespace.
func Uname() (Names, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Names{}, fmt.Errorf("uname: %w", err)
	}
	text := func(field [65]byte) string { return unix.ByteSliceToString(field[:]) }
	return Names{text(u.Release), text(u.Version), text(u.Machine), text(u.Nodename), text(u.Domainname)}, nil
}

// KernelFrom reports whether the kernel has this version or a later one. It is false for a release
// that cannot be parsed.
func (n Names) KernelFrom(major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(n.Release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
