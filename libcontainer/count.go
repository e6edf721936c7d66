package libcontainer

import (
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A count only grows, and threads wait for it: by futex(2), not by way of Go's scheduler, which takes 0.1 ms to wake a goroutine that is locked to
// a thread while the one that wakes it goes on. Who waits is blocked as by any system call.
type count struct{ n atomic.Uint32 }

// Operations of futex(2), on memory that only this process has: <linux/futex.h>.
const (
	futexWait = 0 | futexPrivate
	futexWake = 1 | futexPrivate

	futexPrivate = 128
)

// add adds one and wakes all that wait.
func (c *count) add() {
	c.n.Add(1)
	c.futex(futexWake, math.MaxInt32)
}

// wait waits for the count to be more than n.
func (c *count) wait(n uint32) {
	for c.n.Load() <= n {
		// It returns at once if the count has changed meanwhile, and for signals.
		c.futex(futexWait, n)
	}
}

func (c *count) futex(operation uintptr, value uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&c.n)), operation, uintptr(value), 0, 0, 0)
}
