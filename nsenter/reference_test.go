package nsenter

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The reference interpreter: the doc comment on Op, in Go. It shares no code with the encoder of
// images: it works on the operations themselves. It runs them in the test's own process, against
// the real kernel.

// refOp is an operation whose labels and names of descriptors have been looked up, so that
// interpreting it allocates nothing and calls nothing but the kernel.
type refOp struct {
	code    uint16
	dst     int // register, or -1
	args    [6]refArg
	errnos  []uint16 // that do not fail the program
	any     bool     // no error does
	onError int      // operation to continue at
	onZero  int      // the same, or -1
}

type refArg struct {
	isRegister bool
	value      uint64
}

// termination is how a program ended: with a status of its own, at its end, or by a failure.
type termination struct {
	status int
	fault  string // what a program of these tests must not do
}

// lowerForReference looks up everything that an operation refers to.
func lowerForReference(p *Program, fds map[string]int) []refOp {
	var ops []refOp
	for i, op := range p.Ops() {
		place := func(l Label) int {
			switch l {
			case noLabel:
				return -1
			case nextOp:
				return i + 1
			case exitOp:
				return p.Len()
			}
			return p.labels[l-1]
		}
		r := refOp{code: op.code, dst: int(op.dst), onError: place(op.onError), onZero: place(op.onZero)}
		if op.dst == noRegister {
			r.dst = -1
		}
		for _, e := range op.errnos {
			switch e {
			case 0:
			case anyErrno:
				r.any = true
			default:
				r.errnos = append(r.errnos, e)
			}
		}
		for j, a := range op.args {
			r.args[j] = refArg{a.kind == register, a.value}
			if a.kind == descriptor {
				r.args[j].value = uint64(fds[p.names[a.value]])
			}
		}
		ops = append(ops, r)
	}
	return ops
}

// machine is the memory of a program: the data segment at its address, with the report and the
// registers.
type machine struct {
	base   unsafe.Pointer
	size   uint64
	report *[reportSize / 4]uint32
	regs   *[maxRegisters]uint64
}

// newMachine maps the data segment with its initial content.
func newMachine(p *Program, fds map[string]int) (*machine, error) {
	size := heapOffset + len(p.data)
	base, err := unix.MmapPtr(-1, 0, unsafe.Add(nil, dataBase), uintptr(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return nil, fmt.Errorf("map the data segment at %#x: %w", dataBase, err)
	}
	m := &machine{base: base, size: uint64(size)}
	m.report = (*[reportSize / 4]uint32)(base)
	m.regs = (*[maxRegisters]uint64)(unsafe.Add(base, regsOffset))
	copy(unsafe.Slice((*byte)(unsafe.Add(base, heapOffset)), len(p.data)), p.data)
	m.regs[Channel] = uint64(fds[channelName])
	return m, nil
}

func (m *machine) close() { unix.MunmapPtr(m.base, uintptr(m.size)) }

// stepLimit is more steps than any program of these tests needs.
const stepLimit = 1 << 20

// run interprets the operations. A process that a program forks also returns here, as a copy of
// this thread only, in which Go's scheduler does not work. So nothing here may allocate, grow the
// stack or wait, and such a process exits by itself.
func (m *machine) run(ops []refOp) termination {
	forked := false
	next := 0
	for range stepLimit {
		if next == len(ops) {
			return leave(forked, ExitFailed)
		}
		op := &ops[next]
		next++
		var a [6]uint64
		for i, arg := range op.args {
			if a[i] = arg.value; arg.isRegister {
				a[i] = m.regs[arg.value]
			}
		}

		var result uint64
		switch {
		case op.code == opSet:
			result = a[0]
		case op.code == opStore:
			if a[0] < dataBase || a[0] > dataBase+m.size-4 {
				return termination{fault: "stores outside of the data"}
			}
			*(*uint32)(unsafe.Add(m.base, a[0]-dataBase)) = uint32(a[1])
			result = uint64(uint32(a[1]))
		case op.code == opLoad:
			if a[0] < dataBase || a[0] > dataBase+m.size-4 {
				return termination{fault: "loads from outside of the data"}
			}
			result = uint64(*(*uint32)(unsafe.Add(m.base, a[0]-dataBase))&uint32(a[1]) ^ uint32(a[2]))
		case op.code == unix.SYS_EXIT_GROUP:
			return leave(forked, int(a[0]&0xff))
		default:
			r, _, errno := syscall.RawSyscall6(uintptr(op.code),
				uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
			result = uint64(r)
			if errno != 0 {
				result = -uint64(errno)
			}
			if op.code == unix.SYS_CLONE && result == 0 {
				forked = true
			}
		}

		if errno := -result; errno >= 1 && errno <= 4095 {
			expected := op.any
			for _, e := range op.errnos {
				expected = expected || uint64(e) == errno
			}
			if expected {
				next = op.onError
				continue
			}
			*m.report = [...]uint32{kindFailure, uint32(next - 1), uint32(errno), 0}
			syscall.RawSyscall6(unix.SYS_WRITE, uintptr(m.regs[Channel]), uintptr(m.base), reportSize, 0, 0, 0)
			return leave(forked, ExitFailed)
		}
		if op.dst >= 0 {
			m.regs[op.dst] = result
		}
		if result == 0 && op.onZero >= 0 {
			next = op.onZero
		}
	}
	return termination{fault: "takes too many steps"}
}

func leave(forked bool, status int) termination {
	if forked {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, uintptr(status), 0, 0, 0, 0, 0)
	}
	return termination{status: status}
}

// runReference runs the program with the given descriptors as 0, 1, 2, ..., as a new process would
// have them. It does so on a thread with its own descriptors and umask, which exits afterwards.
func runReference(p *Program, fds map[string]int, files []uintptr) (termination, error) {
	m, err := newMachine(p, fds)
	if err != nil {
		return termination{}, err
	}
	defer m.close()
	ops := lowerForReference(p, fds)
	var end termination
	err = onThrowawayThread(func() error {
		if err := ownDescriptors(files); err != nil {
			return err
		}
		end = m.run(ops)
		return closeFrom(0)
	})
	return end, err
}

func onThrowawayThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread exits with the goroutine
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return
		}
		// The main thread cannot exit, and /proc/self/fd shows its descriptors. While it is blocked
		// here, the other goroutine gets another thread.
		err := onThrowawayThread(f)
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// ownDescriptors gives the calling thread a descriptor table with exactly the given descriptors.
func ownDescriptors(files []uintptr) error {
	if err := unix.Unshare(unix.CLONE_FILES | unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	const aside = 500
	for i, fd := range files {
		n, err := unix.FcntlInt(fd, unix.F_DUPFD, aside+i)
		if err != nil {
			return fmt.Errorf("dup: %w", err)
		}
		if n != aside+i {
			return fmt.Errorf("dup: descriptor %d is open", aside+i)
		}
	}
	for i := range files {
		if err := unix.Dup3(aside+i, i, 0); err != nil {
			return fmt.Errorf("dup3: %w", err)
		}
	}
	return closeFrom(len(files))
}

func closeFrom(first int) error {
	if err := unix.CloseRange(uint(first), 1<<32-1, 0); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	return nil
}
