#include "textflag.h"

#define PIDFD_SEND_SIGNAL 424
#define WRITE 1

// The kernel calls the handler as a C function whose first argument, in DI, is the signal. It must
// not use Go's stack, and needs none.
//
//	R8   the target
//	CX   the signal's bit in pending, by its number
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	MOVL  ·target(SB), R8
	TESTL R8, R8
	JGE   send

	MOVL DI, CX
	DECL CX
	LOCK
	BTSQ CX, ·pending(SB)

	// PassTo may have set the target meanwhile, and have looked for held signals before this one.
	MOVL  ·target(SB), R8
	TESTL R8, R8
	JLT   wake
	LOCK
	BTRQ  CX, ·pending(SB)
	JCC   done // PassTo has sent it

send:
	MOVL DI, SI
	MOVL R8, DI
	XORL DX, DX
	XORL R10, R10
	MOVL $PIDFD_SEND_SIGNAL, AX
	SYSCALL
	RET

wake:
	MOVL  ·bell(SB), DI
	TESTL DI, DI
	JLT   done
	LEAQ  ·one(SB), SI
	MOVL  $8, DX
	MOVL  $WRITE, AX
	SYSCALL

done:
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	LEAQ ·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET
