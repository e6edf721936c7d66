package forker

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CurrentCPU returns the processor that the caller runs on, which may have changed by the time it
// returns; -1 if it is not known.
func CurrentCPU() int {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

// An affinity is the CPU affinity of a thread that avoids a processor for a while.
type affinity struct {
	before  unix.CPUSet
	changed bool
}

// avoid keeps the calling thread, which is locked to its goroutine, off a processor if it may use
// others. Some schedulers make a thread wait for the one that woke it although another processor is
// idle, to save the processors of virtual machines.
func avoid(cpu int) (a affinity) {
	if cpu < 0 || unix.SchedGetaffinity(0, &a.before) != nil {
		return a // fails with more than 1024 processors, where two threads hardly share one
	}
	others := a.before
	others.Clear(cpu)
	a.changed = others.Count() > 0 && unix.SchedSetaffinity(0, &others) == nil
	return a
}

// reset restores the thread's affinity. Since Linux 6.2 the kernel remembers which processors a
// thread has requested, and applies that again when its cpuset changes. Therefore reset requests
// all processors, and the previous ones only if they had been restricted.
func (a *affinity) reset() error {
	if !a.changed {
		return nil
	}
	a.changed = false
	var every, now unix.CPUSet
	for i := range every {
		every[i] = ^every[i]
	}
	err := unix.SchedSetaffinity(0, &every)
	if err == nil {
		err = unix.SchedGetaffinity(0, &now)
	}
	if err == nil && now != a.before {
		err = unix.SchedSetaffinity(0, &a.before)
	}
	if err != nil {
		return fmt.Errorf("reset the affinity of a thread: %w", err)
	}
	return nil
}
