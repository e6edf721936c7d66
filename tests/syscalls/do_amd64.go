package syscalls

import "syscall"

// x32Bit marks the numbers of x32 (__X32_SYSCALL_BIT).
const x32Bit = 1 << 30

// int80 makes a 32-bit system call and returns its result, negative for an error. A kernel without 32-bit system calls ends the process.
func int80(number, a, b, c, d, e, f uint32) int32

func do(kind Kind, c Call) syscall.Errno {
	a := c.Args
	switch kind {
	case X86:
		if r := int80(uint32(c.Number), uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3]), uint32(a[4]), uint32(a[5])); r < 0 && r > -4096 {
			return syscall.Errno(-r)
		}
		return 0
	case X32:
		c.Number |= x32Bit
	}
	_, _, errno := syscall.RawSyscall6(c.Number, a[0], a[1], a[2], a[3], a[4], a[5])
	return errno
}
