// Package signals passes the signals that come to this program on to another process, and tells which ones it ignores.
//
// What it passes on goes by a handler of its own, of a few instructions (handler_amd64.s, handler_arm64.s). Package os/signal has threads switch four times for
// each signal that it is to catch, which takes longer than all that is needed here: one system call.
package signals

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the handler reads and writes.
var (
	target  int32  = -1 // the pidfd of the process that signals go to; below 0: they are kept
	pending uint64      // those that were kept: bit 0 is signal 1
	bell    int32  = -1 // an eventfd that is written to when a signal is kept; below 0: none
)

//lint:ignore U1000 the handler writes it to the bell
var one uint64 = 1

// action is struct sigaction of the kernel (rt_sigaction(2)) on amd64 and arm64.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

func handlerAddress() uintptr

const sigIgn = 1 // SIG_IGN of <signal.h>

// Ignored returns the signals that this program ignores: bit 0 is signal 1.
func Ignored() (set uint64) {
	var now action
	for s := unix.Signal(1); s <= 64; s++ {
		if sigaction(s, nil, &now) == nil && now.handler == sigIgn {
			set |= 1 << (s - 1)
		}
	}
	return set
}

// Hold has signals kept from now on, each of them once, also those that were ignored. What they did before is over for as long as the program
// runs; os/signal gets none of them any more. The list must not have those by which the kernel tells of a fault of the program: it would tell of it
// without end.
func Hold(list ...unix.Signal) error {
	// Go catches faults in any case, by the alternate stack of each thread, and on the way back resumes system calls.
	var ours action
	if err := sigaction(unix.SIGSEGV, nil, &ours); err != nil {
		return fmt.Errorf("catch %w", err)
	}
	ours.handler = handlerAddress()
	for _, s := range list {
		if err := sigaction(s, &ours, nil); err != nil {
			return fmt.Errorf("catch %w", err)
		}
	}
	return nil
}

// Bell returns an eventfd(2) that becomes readable whenever a signal is kept. It is one for the whole program.
func Bell() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	atomic.StoreInt32(&bell, int32(fd))
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// Kept returns the signals that are kept: bit 0 is signal 1.
func Kept() uint64 { return atomic.LoadUint64(&pending) }

// EndBy ends this program by a signal whose default action does that.
func EndBy(s unix.Signal) error {
	if err := sigaction(s, &action{}, nil); err != nil {
		return err
	}
	// A signal to the calling thread is there before the call returns; one to the process may come to another thread,
	// when this one has long ended the program in another way.
	runtime.LockOSThread()
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
}

// PassTo sends the process of a pidfd the signals that were kept, and all that come from now on. The descriptor must stay open for as long as
// the program runs. Signals for a process that has ended are dropped.
func PassTo(pidfd *os.File) {
	fd := int(pidfd.Fd())
	atomic.StoreInt32(&target, int32(fd))
	// The handler takes back what it kept when it sees the target only then, so each is sent once.
	for s := unix.Signal(1); s <= 64; s++ {
		bit := uint64(1) << (s - 1)
		if atomic.LoadUint64(&pending)&bit != 0 && atomic.AndUint64(&pending, ^bit)&bit != 0 {
			_ = unix.PidfdSendSignal(fd, s, nil, 0)
		}
	}
}

func sigaction(s unix.Signal, set, old *action) error {
	const maskSize = unsafe.Sizeof(action{}.mask)
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), maskSize, 0, 0)
	if errno != 0 {
		return fmt.Errorf("%s: rt_sigaction: %w", unix.SignalName(s), errno)
	}
	return nil
}
