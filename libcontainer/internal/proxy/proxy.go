// Package proxy makes system calls in another process, which can be in another cgroup: memory that
// they allocate is charged to that cgroup.
//
// A thread would not do, since the kernel charges memory to the cgroup of the process that owns the
// address space. The process is a fork of this program without an exec, and shares its file
// descriptors: what one opens, both have. It runs no Go code, which does not survive such a fork. A
// loop in assembler (loop_amd64.s, loop_arm64.s) reads one call after another from a shared page.
package proxy

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A request is a system call at the start of the shared memory. The loop relies on these offsets.
type request struct {
	number uintptr
	args   [6]uintptr
	result uintptr
	bell   byte  // the byte sent through the pipes
	pidfd  int32 // of the process, written by the kernel
}

const (
	dataOffset = 4096
	// DataSize is the size of the shared memory for the data of a call: see [Process.Data].
	DataSize = 256 << 10
)

// A Process makes system calls for this program, with its rights, root and working directory. Only
// one goroutine may use it.
type Process struct {
	pid    int
	pidfd  *os.File
	shared []byte
	ask    [2]int // pipes, read by the process and by the caller
	answer [2]int
	limit  time.Duration
	waits  []unix.PollFd // for the answer, the end of the process, and the stops
}

// ErrKilled says that the process was killed, but not by this program.
var ErrKilled = errors.New("the process was killed")

// A StoppedError says that one of the files that stop a process has become readable.
type StoppedError struct{ Stop int }

func (e *StoppedError) Error() string { return "stopped" }

// spawn forks the process, which runs the loop and never returns. It ends when it is no longer
// parent's child.
func spawn(args unsafe.Pointer, size uintptr, shared *request, ask, answer, parent int) (pid int)

// Start starts a process in the cgroup2 directory that the file descriptor cgroup refers to; -1 is
// this program's own cgroup. A call fails if it takes longer than limit, or is still running when
// one of stops becomes readable. The calling goroutine stays locked to its thread until Close,
// since the kernel would kill the process at the end of that thread.
func Start(cgroup int, limit time.Duration, stops []*os.File) (_ *Process, err error) {
	p := &Process{ask: [2]int{-1, -1}, answer: [2]int{-1, -1}, limit: limit}
	runtime.LockOSThread()
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	p.shared, err = unix.Mmap(-1, 0, dataOffset+DataSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	for _, pipe := range []*[2]int{&p.ask, &p.answer} {
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("pipe2: %w", err)
		}
	}
	if err := p.fork(cgroup); err != nil {
		return nil, err
	}
	for _, fd := range []int{p.answer[0], int(p.pidfd.Fd())} {
		p.waits = append(p.waits, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for _, f := range stops {
		p.waits = append(p.waits, unix.PollFd{Fd: int32(f.Fd()), Events: unix.POLLIN})
	}
	return p, nil
}

func (p *Process) fork(cgroup int) error {
	r := p.request()
	args := sys.CloneArgs{Flags: unix.CLONE_FILES | unix.CLONE_PIDFD, Pidfd: uint64(uintptr(unsafe.Pointer(&r.pidfd)))}
	if cgroup >= 0 {
		args.Flags |= unix.CLONE_INTO_CGROUP
		args.Cgroup = uint64(cgroup)
	}
	// No signal handler of Go may run in the process, which keeps this mask.
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return fmt.Errorf("rt_sigprocmask: %w", err)
	}
	pid := spawn(unsafe.Pointer(&args), unsafe.Sizeof(args), r, p.ask[0], p.answer[1], unix.Getpid())
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
		return fmt.Errorf("rt_sigprocmask: %w", err)
	}
	if pid < 0 {
		return fmt.Errorf("clone3: %w", unix.Errno(-pid))
	}
	p.pid, p.pidfd = pid, os.NewFile(uintptr(r.pidfd), "pidfd")
	return nil
}

func (p *Process) request() *request { return (*request)(unsafe.Pointer(&p.shared[0])) }

// Pid returns the process's PID.
func (p *Process) Pid() int { return p.pid }

// Data returns memory that the process shares. The strings of a call are stored at its start.
func (p *Process) Data() []byte { return p.shared[dataOffset:] }

// An Arg is an argument of a system call.
type Arg interface {
	// value returns the argument. It stores what the argument points to in Data, after the first
	// used bytes.
	value(p *Process, used *int) (uintptr, error)
}

// Int is a number or a file descriptor.
type Int int64

func (n Int) value(*Process, *int) (uintptr, error) { return uintptr(n), nil }

// Text is passed as the address of a zero-terminated string.
type Text string

func (t Text) value(p *Process, used *int) (uintptr, error) {
	data := p.Data()[*used:]
	if len(t) >= len(data) {
		return 0, unix.E2BIG
	}
	copy(data, t)
	data[len(t)] = 0
	*used += len(t) + 1
	return uintptr(unsafe.Pointer(&data[0])), nil
}

// DataAt is passed as the address of this offset in Data, which the caller has filled.
type DataAt int

func (o DataAt) value(p *Process, _ *int) (uintptr, error) {
	return uintptr(unsafe.Pointer(&p.Data()[o])), nil
}

// Call makes a system call with at most six arguments. Its error is the call's [unix.Errno], or
// ErrKilled, a *StoppedError or [os.ErrDeadlineExceeded]. After one of these three the process is
// unusable.
func (p *Process) Call(number uintptr, args ...Arg) (int, error) {
	r, used := p.request(), 0
	r.number, r.args = number, [6]uintptr{}
	for i, a := range args {
		var err error
		if r.args[i], err = a.value(p, &used); err != nil {
			return 0, err
		}
	}
	var bell [1]byte
	if _, err := unix.Write(p.ask[1], bell[:]); err != nil {
		return 0, fmt.Errorf("write to the process: %w", err)
	}
	if err := p.wait(); err != nil {
		return 0, err
	}
	if _, err := unix.Read(p.answer[0], bell[:]); err != nil {
		return 0, fmt.Errorf("read from the process: %w", err)
	}
	if result := int(r.result); result < 0 && result > -4096 {
		return 0, unix.Errno(-result)
	}
	return int(r.result), nil
}

// wait waits for the answer to a call.
func (p *Process) wait() error {
	ready, err := sys.Poll(p.waits, time.Now().Add(p.limit))
	switch {
	case err != nil:
		return fmt.Errorf("poll: %w", err)
	case !ready:
		return os.ErrDeadlineExceeded
	case p.waits[0].Revents != 0:
		return nil
	case p.waits[1].Revents != 0:
		return ErrKilled
	}
	return &StoppedError{slices.IndexFunc(p.waits[2:], func(stop unix.PollFd) bool { return stop.Revents != 0 })}
}

// Kill kills the process and returns its pidfd, to wait for its end. Close comes after that.
func (p *Process) Kill() (*os.File, error) {
	if err := sys.SignalPidfd(p.pidfd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	return p.pidfd, nil
}

// Close reaps the process, which must have ended, and releases the shared memory and the pipes.
func (p *Process) Close() error {
	defer p.release()
	_, err := sys.Reap(p.pid)
	return err
}

// release closes everything that Start opened.
func (p *Process) release() {
	for _, fd := range []int{p.ask[0], p.ask[1], p.answer[0], p.answer[1]} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if p.pidfd != nil {
		p.pidfd.Close()
	}
	if p.shared != nil {
		_ = unix.Munmap(p.shared) // cannot fail: it is mapped
	}
	runtime.UnlockOSThread()
}
