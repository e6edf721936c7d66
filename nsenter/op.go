package nsenter

import (
	"errors"
	"fmt"
	"syscall"
)

// An Op is one operation. The reference interpreter in the tests spells out its meaning in Go:
//
//	result := the system call's result, or for Set its first argument, or for Store the value
//	          that was written, or for Load the 32 bits at the address, masked and XORed
//	if result is an error (-4095 to -1):
//	    if it is one of the errors that the operation names: continue at its label
//	    otherwise: report the operation and the error on Channel, and exit
//	if the operation names a register: store the result in it
//	if the result is 0 and the operation names a label for that: continue there
//	continue with the next operation
//
// A call that does not return, such as a successful execve, ends the program. There is nothing
// after the last operation: a program must end in a call that does not return, and [Program.Image]
// adds an exit.
//
// Invalid arguments of the methods are reported when the program's image is made.
type Op struct {
	// Step is the number that was passed to [Program.Step].
	Step int

	code    uint16
	dst     uint8
	args    [6]operand
	errnos  [2]uint16
	onError Label
	onZero  Label
	mistake error
}

const (
	// Codes from firstPseudo on are not system calls.
	firstPseudo = 0xf000
	opSet       = 0xf000
	opStore     = 0xf001
	opLoad      = 0xf002

	noRegister = 0xff
	noLabel    = Label(0)
	nextOp     = Label(-1)
	exitOp     = Label(-2) // the exit at the end of the image

	maxErrno = 4095
	anyErrno = 0xffff
)

// Result names the register for the result.
func (o *Op) Result(r Reg) *Op {
	if r >= maxRegisters {
		o.mistake = fmt.Errorf("register %d does not exist", r)
	}
	o.dst = uint8(r)
	return o
}

// OnError makes the program continue at the label when the call fails with one of at most two
// errors, or with any error when none is given. The register of Result then keeps its value.
func (o *Op) OnError(l Label, errnos ...syscall.Errno) *Op {
	switch {
	case o.errnos[0] != 0:
		o.mistake = errors.New("handles errors twice")
	case len(errnos) > len(o.errnos):
		o.mistake = fmt.Errorf("handles %d errors, %d at most", len(errnos), len(o.errnos))
		return o
	}
	o.setLabel(&o.onError, l)
	o.errnos[0] = anyErrno
	for i, e := range errnos {
		o.checkErrno(e)
		o.errnos[i] = uint16(e)
	}
	return o
}

func (o *Op) checkErrno(e syscall.Errno) {
	if e == 0 || e > maxErrno {
		o.mistake = fmt.Errorf("%d is not an error", int(e))
	}
}

func (o *Op) setLabel(to *Label, l Label) {
	if l == noLabel {
		o.mistake = errors.New("continues at a label that was not made")
	}
	*to = l
}

// Ignore makes the program continue with the next operation when the call fails with one of at most
// two errors, or with any error when none is given.
func (o *Op) Ignore(errnos ...syscall.Errno) *Op { return o.OnError(nextOp, errnos...) }

// OnZero makes the program continue at the label when the result is 0: the child's side of clone,
// or the end of a file.
func (o *Op) OnZero(l Label) *Op {
	o.setLabel(&o.onZero, l)
	return o
}

// Syscall returns the number of the system call, and false for an operation that is not one.
func (o Op) Syscall() (uintptr, bool) { return uintptr(o.code), o.code < firstPseudo }
