package forker

import (
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A counter only grows, and a thread can wait for it with futex(2). Go's scheduler needs 0.1 ms to
// wake a goroutine that is locked to its thread while the waking goroutine continues.
type counter struct{ n atomic.Uint32 }

// Operations of futex(2) on memory that only this process uses, from <linux/futex.h>.
const (
	futexWait = 0 | futexPrivate
	futexWake = 1 | futexPrivate

	futexPrivate = 128
)

// add adds one and wakes all waiting threads.
func (c *counter) add() {
	c.n.Add(1)
	c.futex(futexWake, math.MaxInt32)
}

// wait waits until the counter is greater than n.
func (c *counter) wait(n uint32) {
	for c.n.Load() <= n {
		// futex(2) returns at once if the counter has changed, and also on signals.
		c.futex(futexWait, n)
	}
}

func (c *counter) futex(operation uintptr, value uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&c.n)), operation, uintptr(value), 0, 0, 0)
}
