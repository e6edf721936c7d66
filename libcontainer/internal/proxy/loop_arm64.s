#include "textflag.h"

#define READ 63
#define WRITE 64
#define EXIT_GROUP 94
#define PRCTL 167
#define GETPPID 173
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
// See loop_amd64.s. A system call keeps all registers but R0.
//
//	R19  shared
//	R20  ask
//	R21  answer
//	R22  parent
TEXT ·spawn(SB), NOSPLIT, $0-56
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD shared+16(FP), R19
	MOVD ask+24(FP), R20
	MOVD answer+32(FP), R21
	MOVD parent+40(FP), R22
	MOVD $CLONE3, R8
	SVC
	CBZ  R0, child
	MOVD R0, pid+48(FP)
	RET

child:
	MOVD $PR_SET_PDEATHSIG, R0
	MOVD $SIGKILL, R1
	MOVD $PRCTL, R8
	SVC
	MOVD $GETPPID, R8 // the parent may have ended before
	SVC
	CMP  R22, R0
	BNE  gone

loop:
	MOVD R20, R0
	ADD  $BELL, R19, R1
	MOVD $1, R2
	MOVD $READ, R8
	SVC
	CMP  $1, R0
	BNE  gone

	MOVD ARG0(R19), R0
	MOVD ARG1(R19), R1
	MOVD ARG2(R19), R2
	MOVD ARG3(R19), R3
	MOVD ARG4(R19), R4
	MOVD ARG5(R19), R5
	MOVD NUMBER(R19), R8
	SVC
	MOVD R0, RESULT(R19)

	MOVD R21, R0
	ADD  $BELL, R19, R1
	MOVD $1, R2
	MOVD $WRITE, R8
	SVC
	CMP  $1, R0
	BEQ  loop

gone:
	MOVD $1, R0
	MOVD $EXIT_GROUP, R8
	SVC
	B    gone
