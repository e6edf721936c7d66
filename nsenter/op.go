package nsenter

import (
	"errors"
	"fmt"
	"syscall"
)

// An Op is one operation. Its meaning, which the reference interpreter in the tests spells out in
// Go:
//
//	result := the system call's result, or for Set its first argument, or for Store the value that was written, or for Load
//	          the 32 bits at the address, masked and XORed
//	if result is an error (-4095 to -1):
//	    if it is one of the errors that the operation names: go on at its label
//	    otherwise: report the operation and the error on Channel, and exit
//	if the operation names a register: it takes the result
//	if the result is 0 and the operation names a label for that: go on there
//	go on with the next operation
//
// A call that does not return, like a successful execve, ends the program. Operations that follow
// the last one do not exist: a program must end in a call that does not return, and [Program.Image]
// adds an exit.
//
// A mistake in the methods' arguments is found when the program's image is made.
type Op struct {
	// Step is the number that was given to [Program.Step].
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
	exitOp     = Label(-2) // the exit that the image ends in

	maxErrno = 4095
	anyErrno = 0xffff
)

// Result names the register that takes the result.
func (o *Op) Result(r Reg) *Op {
	if r >= maxRegisters {
		o.mistake = fmt.Errorf("register %d does not exist", r)
	}
	o.dst = uint8(r)
	return o
}

// OnError makes the program go on at the label when the call fails with one of at most two errors, or with any
// error when none is given. The register of Result is left as it was.
func (o *Op) OnError(l Label, errnos ...syscall.Errno) *Op {
	switch {
	case o.errnos[0] != 0:
		o.mistake = errors.New("says twice what an error does")
	case len(errnos) > len(o.errnos):
		o.mistake = fmt.Errorf("%d errors that it goes on after, %d at most", len(errnos), len(o.errnos))
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
		o.mistake = errors.New("goes on at a label that nobody made")
	}
	*to = l
}

// Ignore makes the program go on with the next operation when the call fails with one of at most two errors, or with
// any error when none is given.
func (o *Op) Ignore(errnos ...syscall.Errno) *Op { return o.OnError(nextOp, errnos...) }

// OnZero makes the program go on at the label when the result is 0: the child's side of clone, or the end of a file.
func (o *Op) OnZero(l Label) *Op {
	o.setLabel(&o.onZero, l)
	return o
}

// Syscall returns the number of the system call, and false for an operation that is none.
func (o Op) Syscall() (uintptr, bool) { return uintptr(o.code), o.code < firstPseudo }
