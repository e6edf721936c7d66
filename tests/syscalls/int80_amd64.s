#include "textflag.h"

// func int80(number, a, b, c, d, e, f uint32) uint32
// The kernel takes the lower halves of the registers. BP is the sixth argument, and the frame pointer.
TEXT ·int80(SB), NOSPLIT, $0-36
	MOVL number+0(FP), AX
	MOVL a+4(FP), BX
	MOVL b+8(FP), CX
	MOVL c+12(FP), DX
	MOVL d+16(FP), SI
	MOVL e+20(FP), DI
	MOVL f+24(FP), R8
	PUSHQ BP
	MOVL R8, BP
	INT $0x80
	POPQ BP
	MOVL AX, ret+32(FP)
	RET
