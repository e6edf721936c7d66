package nsenter

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// choices makes decisions from bytes, so a fuzzer can change them one by one. After the last byte
// it always chooses 0.
type choices []byte

func (c *choices) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *choices) oneIn(n int) bool { return c.below(n) == n-1 }

// The descriptors of a random program, which gets the same results from them in every run.
const (
	memFD   = FD("mem")        // a file that it reads, writes and seeks in
	loopFD  = FD("loop")       // a file that is only read, which bounds loops
	dumpFD  = FD("dump")       // a file for registers and data
	readFD  = FD("pipe read")  // a pipe
	writeFD = FD("pipe write") // which does not block
)

const scratchSize = 256

// A generator makes random programs of harmless system calls that always have the same results.
type generator struct {
	*choices
	p       *Program
	scratch Addr
	pending []Label // used, but not placed yet
	items   int     // how many more
	forks   int
	last    Reg // the last one with a result, 0 before
	inRegs  int
}

func randomProgram(c *choices) *Program {
	g := &generator{choices: c, p: NewProgram(), items: 12 + c.below(52)}
	g.scratch = g.p.Bytes(make([]byte, scratchSize))
	g.p.Set(1, Int(0)) // no label can precede the first operation
	for g.items > 0 {
		g.item(0)
	}
	for _, l := range g.pending {
		g.p.Place(l)
	}
	g.p.Call(unix.SYS_WRITE, dumpFD, Addr(dataBase), Int(heapOffset+len(g.p.data)))
	if g.oneIn(3) {
		return g.p // runs to its end
	}
	g.p.Call(unix.SYS_EXIT_GROUP, Int(g.below(256)))
	return g.p
}

func (g *generator) item(depth int) {
	g.items--
	g.p.Step(g.p.Len())
	if len(g.pending) > 0 && g.oneIn(3) {
		i := g.below(len(g.pending))
		g.p.Place(g.pending[i])
		g.pending = append(g.pending[:i], g.pending[i+1:]...)
	}
	switch kind := g.below(16); {
	case kind == 0 && depth < 3:
		g.loop(depth)
	case kind == 1 && g.forks < 3:
		g.fork(depth)
	case kind < 5:
		g.pseudo()
	case kind == 5 && g.oneIn(20):
		g.p.Fail(syscall.Errno(1 + g.below(130)))
	case kind == 6:
		g.p.Send(g.below(100), g.value())
	case kind == 7:
		g.p.Call(unix.SYS_WRITE, dumpFD, Addr(dataBase), Int(heapOffset+scratchSize))
	default:
		g.handleResult(g.call())
	}
}

// loop appends a loop that ends with the bytes of loopFD.
func (g *generator) loop(depth int) {
	top, done := g.p.NewLabel(), g.p.NewLabel()
	g.p.Place(top)
	g.p.Call(unix.SYS_READ, loopFD, g.address(), Int(1)).OnZero(done)
	for range g.below(4) {
		g.item(depth + 1)
	}
	g.p.Jump(top)
	g.p.Place(done)
}

// fork appends a process that does something itself while this one waits for it.
func (g *generator) fork(depth int) {
	g.forks++
	child, after := g.p.NewLabel(), g.p.NewLabel()
	r := g.reg()
	if r == Channel {
		r = 2
	}
	g.p.Call(unix.SYS_CLONE, Int(unix.SIGCHLD)).Result(r).OnZero(child)
	g.p.Call(unix.SYS_WAIT4, r, g.address(), Int(0), Int(0))
	g.p.Set(r, Int(1)) // PIDs differ
	g.p.Jump(after)
	g.p.Place(child)
	for range g.below(4) {
		g.item(depth + 1)
	}
	g.p.Call(unix.SYS_EXIT_GROUP, Int(g.below(256)))
	g.p.Place(after)
}

// pseudo appends an operation that is not a system call.
func (g *generator) pseudo() {
	switch g.below(6) {
	case 0:
		g.p.Jump(g.forward())
	case 4:
		from := g.address()
		mask := [...]int{0, 0xff, 0xffff, 0xf0000000, -1}[g.below(5)]
		g.handleResult(g.p.append(opLoad, []Arg{from, g.inReg(Int(mask)), g.value()}))
	case 3:
		wide := Int(1<<(31+g.below(32)) + g.below(2))
		g.handleResult(g.p.append(opSet, []Arg{g.inReg(wide)}))
	case 1:
		g.handleResult(g.p.append(opStore, []Arg{g.address(), g.value()}))
	case 2:
		r := Reg(3 + g.below(3))
		g.p.Set(r, g.address())
		g.handleResult(g.p.append(opStore, []Arg{r, g.value()}))
	default:
		g.handleResult(g.p.append(opSet, []Arg{g.value()}))
	}
}

// handleResult decides the consequences of the operation's result. Most errors do not fail the
// program, because it would be too short.
func (g *generator) handleResult(op *Op) {
	if !g.oneIn(4) {
		g.last = g.reg()
		op.Result(g.last)
	}
	if g.oneIn(3) {
		op.OnZero(g.forward())
	}
	switch g.below(24) {
	case 0:
	case 1:
		op.OnError(g.forward(), g.errno())
	case 2:
		op.OnError(g.forward(), g.errno(), g.errno())
	case 3:
		op.Ignore(g.errno())
	case 4:
		op.Ignore(g.errno(), g.errno())
	case 5, 6, 7, 8:
		op.OnError(g.forward())
	default:
		op.Ignore()
	}
}

func (g *generator) errno() syscall.Errno {
	list := [...]syscall.Errno{unix.EBADF, unix.EINVAL, unix.ENOENT, unix.EFAULT, unix.ENOSYS, unix.EAGAIN, unix.EPERM, unix.ESPIPE, 4095}
	return list[g.below(len(list))]
}

func (g *generator) forward() Label {
	if len(g.pending) > 0 && g.oneIn(2) {
		return g.pending[g.below(len(g.pending))]
	}
	l := g.p.NewLabel()
	g.pending = append(g.pending, l)
	return l
}

func (g *generator) reg() Reg {
	if g.oneIn(200) {
		return Channel
	}
	list := [...]Reg{1, 2, 3, 4, 5, 6, 7, 120, maxRegisters - 1}
	return list[g.below(len(list))]
}

func (g *generator) address() Addr { return g.scratch + Addr(g.below(scratchSize-64)) }

func (g *generator) value() Arg {
	switch g.below(12) {
	case 0:
		return Int(g.below(4))
	case 1:
		return Int(-1 - g.below(200)) // an error
	case 2:
		return Int(-4094 - g.below(4)) // the last errors, and values beyond them
	case 3:
		return Int(1<<32 + g.below(3)) // not 0, although its low half may be
	case 4:
		return Int(0x7fffffff + g.below(3))
	case 5:
		return Int(0xfffff001 + g.below(200)) // an error in 32 bits, not in 64
	case 6:
		return Int(-1 << 63)
	case 7:
		return g.address()
	case 8:
		return [...]FD{memFD, dumpFD, writeFD, FirstOwn}[g.below(4)]
	default:
		return g.usedReg()
	}
}

// inReg returns the value, or a register that holds it. No label may be placed before the operation
// that uses it.
func (g *generator) inReg(value Arg) Arg {
	if g.oneIn(2) {
		return value
	}
	g.inRegs = g.inRegs%20 + 1
	r := 20 + Reg(g.inRegs)
	g.p.Set(r, value)
	return r
}

// usedReg returns a register that probably has a value.
func (g *generator) usedReg() Reg {
	if g.last == 0 || g.oneIn(2) {
		return g.reg()
	}
	return g.last
}

// call appends a system call.
func (g *generator) call() *Op {
	p := g.p
	switch g.below(14) {
	case 0:
		return p.Call(unix.SYS_UMASK, g.value())
	case 1:
		return p.Call(unix.SYS_LSEEK, memFD, Int(g.below(200)-20), Int(g.below(4)))
	case 2:
		return p.Call(unix.SYS_READ, memFD, g.address(), Int(g.below(64)))
	case 3:
		return p.Call(unix.SYS_WRITE, memFD, g.address(), Int(g.below(64)))
	case 4:
		return p.Call(unix.SYS_PREAD64, memFD, g.inReg(g.address()), g.inReg(Int(g.below(64))), g.inReg(Int(g.below(200))))
	case 5:
		return p.Call(unix.SYS_PWRITE64, memFD, g.address(), Int(g.below(64)), Int(g.below(200)))
	case 6:
		return p.Call(unix.SYS_READ, readFD, g.address(), Int(g.below(64)))
	case 7:
		return p.Call(unix.SYS_WRITE, writeFD, g.address(), Int(g.below(64)))
	case 8:
		return p.Call(unix.SYS_FCNTL, memFD, Int(unix.F_DUPFD), Int(100+g.below(9)))
	case 9:
		return p.Call(unix.SYS_FCNTL, Int(100+g.below(9)), Int(unix.F_GETFD))
	case 10:
		return p.Call(unix.SYS_CLOSE, Int(100+g.below(9)))
	case 11:
		return p.Call(unix.SYS_PERSONALITY, Int(0xffffffff))
	case 12:
		// All six arguments matter: the file's offset, the pipe, and the number of bytes.
		off := p.Words(uint64(g.below(70)))
		flags := Int(unix.SPLICE_F_NONBLOCK << (4 * g.below(2))) // or an invalid flag
		return p.Call(unix.SYS_SPLICE, g.inReg(memFD), g.inReg(off), g.inReg(writeFD), g.inReg(Int(0)),
			g.inReg(Int(g.below(64))), g.inReg(flags))
	default:
		return g.failing()
	}
}

// failing appends a system call that usually fails.
func (g *generator) failing() *Op {
	p := g.p
	switch g.below(6) {
	case 0:
		return p.Call(unix.SYS_READ, Int(-1), g.address(), Int(1))
	case 1:
		return p.Call(unix.SYS_OPENAT, Int(unix.AT_FDCWD), p.String("/nowhere/at/all"), Int(unix.O_RDONLY))
	case 2:
		return p.Call(unix.SYS_EXECVE, p.String("/nowhere/at/all"), p.Strings([]string{"a"}), p.Strings(nil))
	case 3:
		return p.Call(unix.SYS_WRITE, memFD, Int(1), Int(8)) // a bad address
	case 4:
		return p.Call(3800 + uintptr(g.below(100))) // not a system call
	default:
		return p.Call(unix.SYS_LSEEK, readFD, Int(0), Int(0))
	}
}
