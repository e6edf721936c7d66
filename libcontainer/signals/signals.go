// Package signals passes the signals of this program on to another process, and reports which ones
// the program ignores.
//
// It uses a signal handler of its own, of a few instructions (handler_amd64.s, handler_arm64.s).
// Package os/signal switches between threads four times for each signal that it catches, which
// takes longer than the one system call that is needed here.
package signals

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The variables that the handler reads and writes.
var (
	target  int32  = -1 // the pidfd of the process that gets the signals; below 0: they are held
	pending uint64      // the held signals: bit 0 is signal 1
	bell    int32  = -1 // an eventfd that is written to when a signal is held; below 0: none
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

// Hold holds the listed signals from now on, each of them once, including those that were ignored.
// Their previous actions are lost for as long as the program runs; os/signal no longer gets them.
// The list must not contain the signals by which the kernel reports faults of the program, because
// they would repeat forever.
func Hold(list ...unix.Signal) error {
	// Go always catches faults, on the alternate stack of each thread, and restarts system calls
	// afterwards.
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

// Bell returns an eventfd(2) that becomes readable whenever a signal is held. There is one for the
// whole program.
func Bell() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	atomic.StoreInt32(&bell, int32(fd))
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// Held returns the held signals: bit 0 is signal 1.
func Held() uint64 { return atomic.LoadUint64(&pending) }

// EndBy ends this program by a signal whose default action does that.
func EndBy(s unix.Signal) error {
	if err := sigaction(s, &action{}, nil); err != nil {
		return err
	}
	// A signal to the calling thread is delivered before the call returns; one to the process may
	// be delivered to another thread, after this one has ended the program in another way.
	runtime.LockOSThread()
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
}

// PassTo sends the held signals, and all later ones, to the process of a pidfd. The descriptor must
// stay open for as long as the program runs. Signals for a process that has exited are dropped.
func PassTo(pidfd *os.File) {
	fd := int(pidfd.Fd())
	atomic.StoreInt32(&target, int32(fd))
	// The handler takes back a signal that it has held when it sees the target only then, so each
	// is sent once.
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
