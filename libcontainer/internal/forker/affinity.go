package forker

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CurrentCPU returns the number of the processor that the caller runs on, which it may have left by
// then; -1 if it is not known.
func CurrentCPU() int {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

// An affinity is that of a thread which keeps off a processor for a while.
type affinity struct {
	before  unix.CPUSet
	changed bool
}

// avoid keeps the calling thread, which is locked to its goroutine, off a processor, if it may use
// others. Some schedulers let a thread wait for the one that woke it although another processor is
// idle, to save the processors of virtual machines.
func avoid(cpu int) (a affinity) {
	if cpu < 0 || unix.SchedGetaffinity(0, &a.before) != nil {
		return a // it fails with more than 1024 processors: two threads will hardly share one
	}
	others := a.before
	others.Clear(cpu)
	a.changed = others.Count() > 0 && unix.SchedSetaffinity(0, &others) == nil
	return a
}

// reset gives the thread back the processors that it had. The kernel remembers which ones a thread
// has asked for, and keeps it to those when its cpuset changes (since Linux 6.2). So reset asks for
// all, and for those of before only if somebody had restricted them.
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
