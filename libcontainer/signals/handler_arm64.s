#include "textflag.h"

#define PIDFD_SEND_SIGNAL 424
#define WRITE 64

// The handler: see handler_amd64.s. The signal is in R0.
//
//	R9   the address of target, R10 that of pending
//	R2   the target
//	R4   the signal's bit in pending
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	MOVD  $·target(SB), R9
	LDARW (R9), R2
	TBZ   $31, R2, send

	MOVD $·pending(SB), R10
	SUB  $1, R0, R3
	MOVD $1, R4
	LSL  R3, R4, R4

keep:
	LDAXR (R10), R5
	ORR   R4, R5, R5
	STLXR R5, (R10), R6
	CBNZW R6, keep
	DMB   $0xb // ISH: the target is read after the write of pending

	LDARW (R9), R2
	TBNZ  $31, R2, wake

take:
	LDAXR (R10), R5
	TST   R4, R5
	BEQ   done // PassTo has sent it
	BIC   R4, R5, R5
	STLXR R5, (R10), R6
	CBNZW R6, take

send:
	MOVW R0, R1
	MOVW R2, R0
	MOVD $0, R2
	MOVD $0, R3
	MOVD $PIDFD_SEND_SIGNAL, R8
	SVC
	RET

wake:
	MOVD  $·bell(SB), R9
	LDARW (R9), R0
	TBNZ  $31, R0, done
	MOVD  $·one(SB), R1
	MOVD  $8, R2
	MOVD  $WRITE, R8
	SVC

done:
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R0
	MOVD R0, ret+0(FP)
	RET
