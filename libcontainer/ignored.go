package libcontainer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignored returns the signals that this program ignores: bit 0 is signal 1.
func ignored() (set uint64) {
	// struct sigaction: the handler first, and a mask of eight bytes last, however many words are in between.
	var action [4]uintptr
	for signal := uintptr(1); signal <= 64; signal++ {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, 0, uintptr(unsafe.Pointer(&action)), 8, 0, 0)
		if errno == 0 && action[0] == sigIgn {
			set |= 1 << (signal - 1)
		}
	}
	return set
}

const sigIgn = 1 // SIG_IGN of <signal.h>
