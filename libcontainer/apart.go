package libcontainer

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processor returns the number of the one that the caller runs on, which it may have left by then.
func processor() int {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

// An affinity is that of a thread which keeps away from a processor for a while, and of what it starts.
type affinity struct {
	back  unix.CPUSet // is asked for in the end
	apart bool
}

// keepApart keeps the calling thread, which is locked to its goroutine, away from a processor, if there are others for it. Schedulers have one
// thread wait for another that works beside it, though a processor is idle: to save the processors of virtual machines, or since
// the one has woken the other.
func keepApart(cpu int) (a affinity) {
	var before unix.CPUSet
	if cpu < 0 || unix.SchedGetaffinity(0, &before) != nil {
		return a // more than 1024 processors: no two will be on one
	}
	others := before
	others.Clear(cpu)
	if others.Count() == 0 {
		return a
	}
	// The kernel remembers which ones were asked for, and later keeps processes to those when their cpuset changes (since Linux 6.2). So all that
	// there can be are asked for in the end, and only where that gives other ones than before, which somebody had asked for then, it is those.
	var every, now unix.CPUSet
	for i := range every {
		every[i] = ^every[i]
	}
	a.back = before
	if unix.SchedSetaffinity(0, &every) == nil && unix.SchedGetaffinity(0, &now) == nil && now == before {
		a.back = every
	}
	a.apart = true
	if unix.SchedSetaffinity(0, &others) != nil {
		_ = a.giveBack(0)
	}
	return a
}

// giveBack gives a thread, which was kept apart or was started by one that was, the processors back. 0 is the calling one.
func (a *affinity) giveBack(thread int) error {
	if !a.apart {
		return nil
	}
	a.apart = false
	if err := unix.SchedSetaffinity(thread, &a.back); err != nil {
		return fmt.Errorf("give a thread its processors back: %w", err)
	}
	return nil
}
