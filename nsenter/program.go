// Package nsenter runs a list of system calls as the first thing that a new process does, without
// C, without Go and without the runtime's own binary: a [Program] is encoded into a static ELF
// image of a few KiB (an interpreter written in assembler, the operations, and their data), sealed
// in a memfd, and started with the standard library's process start. It knows nothing of
// containers.
//
// A program is built once, in the parent, from operations that are all data:
//
//	p := nsenter.NewProgram()
//	p.Step(0)
//	p.Call(unix.SYS_SETHOSTNAME, p.String("web"), nsenter.Int(3))
//	p.Step(1)
//	root := p.Reg()
//	p.Call(unix.SYS_OPENAT, nsenter.Int(unix.AT_FDCWD), p.String("/"),
//		nsenter.Int(unix.O_PATH)).Result(root)
//	p.Call(unix.SYS_FCHDIR, root)
//	p.Call(unix.SYS_EXECVE, p.String("/bin/sh"), p.Strings(argv), p.Strings(env))
//
// See [Op] for the meaning of an operation and [Start] for how a program is run and how to
// communicate with it.
package nsenter

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// The image is linked at fixed addresses. So the address of data is known as soon as the data is
// added to the program, and an argument that is an address is an immediate like any other. The
// addresses are above those where Go's linker puts a binary, so the tests can map the data at its
// address in their own process.
const (
	textBase = 0x10000000
	dataBase = 0x10400000

	// The data segment begins with the report that the interpreter writes when an operation fails,
	// and the registers.
	reportSize   = 16
	maxRegisters = 240
	regsOffset   = reportSize
	heapOffset   = regsOffset + maxRegisters*8
)

// Channel is the register with the descriptor on which the process communicates with its starter.
// It begins as the descriptor that [Start] made; a program may replace it, for instance by a
// connection that it accepted.
const Channel Reg = 0

// ExitFailed is the status with which the process exits after it has reported a failure, or has
// tried to. If it may not even exit, a trap ends it.
const ExitFailed = 125

// Arg is an argument of an operation: an immediate value, the address of data in the image, a
// register, or a descriptor that is passed by name. The zero value is the immediate 0.
type Arg interface{ operand(p *Program) operand }

type operandKind uint8

const (
	immediate operandKind = iota
	register
	descriptor
	aboveDescriptor
)

type operand struct {
	kind operandKind
	// value is, for descriptor and aboveDescriptor, the index of the descriptor's name.
	value uint64
}

// Int is an immediate argument.
type Int int

func (i Int) operand(*Program) operand { return operand{value: uint64(i)} }

// Addr is the address of data in the image.
type Addr uint64

func (a Addr) operand(*Program) operand { return operand{value: uint64(a)} }

// Reg is a register: a 64-bit word for the result of one operation that is an argument of others.
type Reg uint8

func (r Reg) operand(*Program) operand { return operand{kind: register, value: uint64(r)} }

// FD is a descriptor that the starter passes under this name. Only [Start] knows its number.
type FD string

func (f FD) operand(p *Program) operand { return operand{kind: descriptor, value: p.name(string(f))} }

// AboveFD is the number above that of a descriptor: the beginning of a range without the
// descriptor.
type AboveFD FD

func (f AboveFD) operand(p *Program) operand {
	return operand{kind: aboveDescriptor, value: p.name(string(f))}
}

// name returns the index of a descriptor's name.
func (p *Program) name(name string) uint64 {
	i := slices.Index(p.names, name)
	if i < 0 {
		i = len(p.names)
		p.names = append(p.names, name)
	}
	return uint64(i)
}

// Label is a position in the program that operations jump to. The zero value is none.
type Label int

// A Program is a list of operations and the data that they refer to. Its methods append to it.
// Mistakes in building one (an unplaced label, too many registers) are reported when its image is
// made, see [Program.Image].
type Program struct {
	ops     [][]Op // in blocks, because Call returns pointers into them
	count   int    // of operations
	data    []byte
	strings map[string]Addr
	names   []string // of descriptors
	// Words of the data that hold addresses are final from the start, so only labels remain to be
	// resolved.
	labels []int // of label n+1: index of an operation, -1 while not placed
	step   int
	reg    int // next free register
	kept   int // registers below this one live as long as the program
	err    error
}

// opBlock is how many operations are allocated at once.
const opBlock = 64

// NewProgram returns an empty program.
func NewProgram() *Program {
	return &Program{
		data:    make([]byte, 0, 8192),
		strings: make(map[string]Addr, 128),
		reg:     int(Channel) + 1,
		kept:    int(Channel) + 1,
	}
}

// Step assigns the operations that follow to step n, which is what a [Failure] names. It frees the
// registers of the previous step.
func (p *Program) Step(n int) {
	p.step = n
	p.reg = p.kept
}

// Reg returns a register that is valid until the next call of Step.
func (p *Program) Reg() Reg {
	if p.reg >= maxRegisters {
		p.fail("step %d needs more than %d registers", p.step, maxRegisters)
		return Reg(maxRegisters - 1)
	}
	p.reg++
	return Reg(p.reg - 1)
}

// Keep returns a register that nothing else uses. It must be called before Reg in the same step.
func (p *Program) Keep() Reg {
	if p.reg != p.kept {
		p.fail("step %d keeps a register after it took one of its own", p.step)
	}
	r := p.Reg()
	p.kept = p.reg
	return r
}

// String returns the address of a NUL-terminated string. Equal strings share one address, so the
// program must not write to it.
func (p *Program) String(s string) Addr {
	if a, ok := p.strings[s]; ok {
		return a
	}
	if strings.IndexByte(s, 0) >= 0 {
		p.fail("string %q contains a NUL byte", s)
	}
	a := p.here()
	p.data = append(p.data, s...)
	p.data = append(p.data, 0)
	p.strings[s] = a
	return a
}

// Bytes returns the address of a copy of b, aligned to eight bytes, which the program may write to.
func (p *Program) Bytes(b []byte) Addr {
	p.align()
	a := p.here()
	p.data = append(p.data, b...)
	return a
}

// Strings returns the address of a NULL-terminated array of pointers to the strings: an argv or
// envp.
func (p *Program) Strings(list []string) Addr {
	words := make([]byte, 0, 8*(len(list)+1))
	for _, s := range list {
		words = binary.LittleEndian.AppendUint64(words, uint64(p.String(s)))
	}
	return p.Bytes(binary.LittleEndian.AppendUint64(words, 0))
}

// Words returns the address of an array of 64-bit words, some of which may be addresses: an iovec,
// a msghdr.
func (p *Program) Words(words ...uint64) Addr {
	b := make([]byte, 0, 8*len(words))
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return p.Bytes(b)
}

func (p *Program) here() Addr { return Addr(dataBase + heapOffset + len(p.data)) }

func (p *Program) align() {
	for (heapOffset+len(p.data))%8 != 0 {
		p.data = append(p.data, 0)
	}
}

// NewLabel returns a label that must be placed later.
func (p *Program) NewLabel() Label {
	p.labels = append(p.labels, -1)
	return Label(len(p.labels))
}

// Place puts the label before the next operation.
func (p *Program) Place(l Label) {
	switch {
	case l <= 0 || int(l) > len(p.labels):
		p.fail("label %d is not one of this program's", l)
	case p.labels[l-1] >= 0:
		p.fail("label %d is placed twice", l)
	default:
		p.labels[l-1] = p.count
	}
}

// Call appends a system call. By default its result is dropped and an error makes the program fail.
//
// The number and the order of a call's arguments depend on the architecture. Those of clone differ:
//
//	amd64: clone(flags, stack, parent_tid, child_tid, tls)
//	arm64: clone(flags, stack, parent_tid, tls, child_tid)
//
// so a program for both passes only the first three. Many of the older calls, such as open, dup2,
// fork and chown, do not exist on arm64.
func (p *Program) Call(nr uintptr, args ...Arg) *Op {
	if nr >= firstPseudo {
		p.fail("system call %d is out of range", nr)
	}
	return p.append(uint16(nr), args)
}

// Set appends an operation that puts a value into a register.
func (p *Program) Set(r Reg, value Arg) { p.append(opSet, []Arg{value}).Result(r) }

// Store appends an operation that writes the low 32 bits of a value to an address, for instance a
// descriptor into a message.
func (p *Program) Store(to Addr, value Arg) { p.append(opStore, []Arg{to, value}) }

// Load appends an operation whose result is the 32 bits at an address, masked and XORed. With
// [Op.OnZero] it compares the output of a system call with a value.
func (p *Program) Load(from Addr, mask, xor uint32) *Op {
	return p.append(opLoad, []Arg{from, Int(mask), Int(xor)})
}

// Jump appends an operation that continues at the label.
func (p *Program) Jump(l Label) { p.append(opSet, nil).OnZero(l) }

// Fail appends an operation that fails with errno.
func (p *Program) Fail(errno syscall.Errno) {
	op := p.append(opSet, []Arg{Int(-int(errno))})
	op.checkErrno(errno)
}

func (p *Program) append(code uint16, args []Arg) *Op {
	if p.count%opBlock == 0 {
		p.ops = append(p.ops, make([]Op, 0, opBlock))
	}
	block := &p.ops[len(p.ops)-1]
	*block = append(*block, Op{code: code, dst: noRegister, Step: p.step})
	p.count++
	op := &(*block)[len(*block)-1]
	if len(args) > len(op.args) {
		op.mistake = fmt.Errorf("%d arguments, %d at most", len(args), len(op.args))
		args = args[:len(op.args)]
	}
	for i, a := range args {
		if a != nil {
			op.args[i] = a.operand(p)
		} else if op.mistake == nil {
			op.mistake = fmt.Errorf("argument %d is nil", i)
		}
	}
	return op
}

func (p *Program) fail(format string, a ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("program: "+format, a...)
	}
}

// Len returns the number of operations.
func (p *Program) Len() int { return p.count }

// Ops returns a copy of the operations, for inspection.
func (p *Program) Ops() []Op { return slices.Concat(p.ops...) }
