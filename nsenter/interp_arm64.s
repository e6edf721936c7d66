#include "textflag.h"

// The interpreter: see interp_amd64.s, which describes it and the record of an operation.

#define OPS 0x10000400
#define DATA 0x10400000
#define REGS 16

#define ARG(i, to) \
	MOVD (16+8*i)(R19), to;  \
	TBZ  $i, R21, 3(PC);     \
	ADD  to<<3, R20, to;     \
	MOVD REGS(to), to

// R19: the record of the operation, R20: the data segment.
TEXT ·interpreter(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $OPS, R19
	MOVD $DATA, R20

operation:
	MOVBU 2(R19), R21
	ARG(0, R0)
	ARG(1, R1)
	ARG(2, R2)
	ARG(3, R3)
	ARG(4, R4)
	ARG(5, R5)
	MOVHU (R19), R8
	CMP   $0xf000, R8
	BEQ   result       // set: the result is the first argument
	BHI   store
	SVC

result:
	CMN   $4095, R0
	BCS   error
	MOVBU 3(R19), R9
	CMP   $0xff, R9
	BEQ   3(PC)
	ADD   R9<<3, R20, R10
	MOVD  R0, REGS(R10)
	CBNZ  R0, advance
	MOVHU 10(R19), R9
	CBNZ  R9, jump

advance:
	ADD $64, R19
	B   operation

jump:
	MOVD $OPS, R19
	ADD  R9<<6, R19, R19
	B    operation

store:
	MOVD  $0xf001, R9
	CMP   R9, R8
	BNE   load
	MOVW  R1, (R0)
	MOVWU R1, R0
	B     result

load:
	MOVWU (R0), R0
	ANDW  R1, R0
	EORW  R2, R0
	B     result

error:
	NEG   R0, R0
	MOVHU 8(R19), R9
	MOVHU 4(R19), R10
	CMP   R10, R0
	BEQ   jump
	MOVD  $0xffff, R11
	CMP   R10, R11
	BEQ   jump
	MOVHU 6(R19), R10
	CMP   R10, R0
	BEQ   jump

	// write(Channel, report, 16), exit_group(125)
	MOVW R0, 8(R20)
	MOVD $OPS, R9
	SUB  R9, R19, R19
	LSR  $6, R19, R19
	MOVW R19, 4(R20)
	MOVD $2, R9
	MOVW R9, (R20)
	MOVD REGS(R20), R0
	MOVD R20, R1
	MOVD $16, R2
	MOVD $64, R8
	SVC
	MOVD $125, R0
	MOVD $94, R8
	SVC
	BRK

	// The end of the interpreter, for image.go.
	WORD $0x6f6c726f
	WORD $0x6e652e70
	WORD $0x7e7e2e64
	WORD $0x7e7e7e7e

// func interpreterStart() *byte
TEXT ·interpreterStart(SB), NOSPLIT, $0-8
	MOVD $·interpreter(SB), R0
	MOVD R0, ret+0(FP)
	RET
