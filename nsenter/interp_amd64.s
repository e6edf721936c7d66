#include "textflag.h"

// The interpreter runs in the new process. It has no stack, no heap and no writable memory but the
// image's data segment. image.go copies its bytes from here to the entry point of every image, so
// it must not refer to any symbol of the binary around it.
//
// The record of an operation, 64 bytes:
//	0  uint16  system call number or pseudo-operation
//	2  uint8   bit i: argument i is the number of a register
//	3  uint8   register for the result, 0xff for none
//	4  uint16  error that does not fail the program (0 none, 0xffff any)
//	6  uint16  another one
//	8  uint16  operation to continue at after such an error
//	10 uint16  operation to continue at after the result 0, 0 for none
//	12 uint32  unused
//	16 6 * uint64 arguments
//
// The data segment: a report of 16 bytes (kind, operation, errno, 0), the registers, then the
// program's data.

#define OPS 0x10000400
#define DATA 0x10400000
#define REGS 16

#define ARG(i, to) \
	MOVQ  (16+8*i)(R12), to;   \
	TESTB $(1<<i), BX;         \
	JZ    2(PC);               \
	MOVQ  REGS(R13)(to*8), to

// R12: the record of the operation, R13: the data segment.
TEXT ·interpreter(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $OPS, R12
	MOVL $DATA, R13

operation:
	MOVBLZX 2(R12), BX
	ARG(0, DI)
	ARG(1, SI)
	ARG(2, DX)
	ARG(3, R10)
	ARG(4, R8)
	ARG(5, R9)
	MOVWLZX (R12), AX
	CMPL    AX, $0xf000
	JEQ     set
	JHI     store
	SYSCALL

result:
	CMPQ    AX, $-4095
	JCC     error
	MOVBLZX 3(R12), CX
	CMPL    CX, $0xff
	JEQ     2(PC)
	MOVQ    AX, REGS(R13)(CX*8)
	TESTQ   AX, AX
	JNZ     advance
	MOVWLZX 10(R12), CX
	TESTL   CX, CX
	JNZ     jump

advance:
	ADDQ $64, R12
	JMP  operation

jump:
	SHLL $6, CX
	MOVL $OPS, R12
	ADDQ CX, R12
	JMP  operation

set:
	MOVQ DI, AX
	JMP  result

store:
	CMPL AX, $0xf001
	JNE  load
	MOVL SI, (DI)
	MOVL SI, AX
	JMP  result

load:
	MOVL (DI), AX
	ANDL SI, AX
	XORL DX, AX
	JMP  result

error:
	NEGQ    AX
	MOVWLZX 8(R12), CX
	MOVWLZX 4(R12), DX
	CMPL    DX, AX
	JEQ     jump
	CMPL    DX, $0xffff
	JEQ     jump
	MOVWLZX 6(R12), DX
	CMPL    DX, AX
	JEQ     jump

	// write(Channel, report, 16), exit_group(125)
	MOVL AX, 8(R13)
	SUBQ $OPS, R12
	SHRQ $6, R12
	MOVL R12, 4(R13)
	MOVL $2, (R13)
	MOVL $1, AX
	MOVQ REGS(R13), DI
	MOVQ R13, SI
	MOVL $16, DX
	SYSCALL
	MOVL $231, AX
	MOVL $125, DI
	SYSCALL
	INT  $3

	// The end of the interpreter, for image.go.
	LONG $0x6f6c726f
	LONG $0x6e652e70
	LONG $0x7e7e2e64
	LONG $0x7e7e7e7e

// func interpreterStart() *byte
TEXT ·interpreterStart(SB), NOSPLIT, $0-8
	LEAQ ·interpreter(SB), AX
	MOVQ AX, ret+0(FP)
	RET
