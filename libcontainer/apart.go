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

// An affinity is that of a thread which keeps away from a processor for a while.
type affinity struct {
	before unix.CPUSet
	apart  bool
}

// keepApart keeps the calling thread, which is locked to its goroutine, away from a processor, if there are others for it. Schedulers have one
// thread wait for another that works beside it, though a processor is idle: to save the processors of virtual machines, or since
// the one has woken the other.
func keepApart(cpu int) (a affinity) {
	if cpu < 0 || unix.SchedGetaffinity(0, &a.before) != nil {
		return a // more than 1024 processors: no two will be on one
	}
	others := a.before
	others.Clear(cpu)
	a.apart = others.Count() > 0 && unix.SchedSetaffinity(0, &others) == nil
	return a
}

// end gives the thread back the processors that it had. The kernel remembers which ones were asked for, and later keeps processes to those when
// their cpuset changes (since Linux 6.2). So all that there can be are asked for, and only where that gives other ones than before, which
// somebody had asked for then, it is those.
func (a *affinity) end() error {
	if !a.apart {
		return nil
	}
	a.apart = false
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
		return fmt.Errorf("give a thread its processors back: %w", err)
	}
	return nil
}
