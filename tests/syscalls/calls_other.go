//go:build !amd64

package syscalls

import "syscall"

func calls(Kind) []Call { return nil }

func do(Kind, Call) syscall.Errno { return syscall.ENOSYS }
