#include "textflag.h"

#define READ 0
#define WRITE 1
#define GETPPID 110
#define PRCTL 157
#define EXIT_GROUP 231
#define CLONE3 435
#define PR_SET_PDEATHSIG 1
#define SIGKILL 9

// The offsets in struct request.
#define NUMBER 0
#define ARG0 8
#define ARG1 16
#define ARG2 24
#define ARG3 32
#define ARG4 40
#define ARG5 48
#define RESULT 56
#define BELL 64

// func spawn(args unsafe.Pointer, size uintptr, shared *request, ask, answer, parent int) (pid int)
//
// The child never returns, and uses no stack. A system call keeps all registers but AX, CX and R11.
//
//	BX   shared
//	R12  ask
//	R13  answer
//	R15  parent
TEXT ·spawn(SB), NOSPLIT, $0-56
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ shared+16(FP), BX
	MOVQ ask+24(FP), R12
	MOVQ answer+32(FP), R13
	MOVQ parent+40(FP), R15
	MOVL $CLONE3, AX
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, pid+48(FP)
	RET

child:
	MOVL $PR_SET_PDEATHSIG, DI
	MOVL $SIGKILL, SI
	MOVL $PRCTL, AX
	SYSCALL
	MOVL $GETPPID, AX // the parent may have ended before
	SYSCALL
	CMPQ AX, R15
	JNE  gone

loop:
	MOVQ R12, DI
	LEAQ BELL(BX), SI
	MOVL $1, DX
	MOVL $READ, AX
	SYSCALL
	CMPQ AX, $1
	JNE  gone

	MOVQ ARG0(BX), DI
	MOVQ ARG1(BX), SI
	MOVQ ARG2(BX), DX
	MOVQ ARG3(BX), R10
	MOVQ ARG4(BX), R8
	MOVQ ARG5(BX), R9
	MOVQ NUMBER(BX), AX
	SYSCALL
	MOVQ AX, RESULT(BX)

	MOVQ R13, DI
	LEAQ BELL(BX), SI
	MOVL $1, DX
	MOVL $WRITE, AX
	SYSCALL
	CMPQ AX, $1
	JEQ  loop

gone:
	MOVL $1, DI
	MOVL $EXIT_GROUP, AX
	SYSCALL
	JMP  gone
