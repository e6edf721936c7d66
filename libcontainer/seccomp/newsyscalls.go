//go:build seccomp && cgo

package seccomp

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// newSyscalls puts instructions before a program that return ENOSYS for system calls newer than the
// profile: their numbers are higher than any that it names (of an architecture, AUDIT_ARCH_*). The
// default, EPERM, would tell a C library that the call exists and is forbidden, so that it would
// not fall back to an older one.
//
//	load arch
//	if arch is not A: go to next A
//	load number
//	if number > newest of A and number is not one of x32: return ENOSYS
//	go to the program
func newSyscalls(program []byte, newest map[uint32]int) ([]byte, error) {
	const x32 = 1<<30 - 1 // higher numbers are those of x32, or unused
	archs := slices.Sorted(maps.Keys(newest))
	const perArch = 6
	var code []byte
	add := func(op uint16, yes, no uint8, k uint32) { code = appendInstruction(code, op, yes, no, k) }
	add(opLoad, 0, 0, archOffset)
	for i, a := range archs {
		left := uint32(len(archs)-i-1) * perArch // instructions of the architectures that follow
		add(opEqual, 0, perArch-1, a)
		add(opLoad, 0, 0, numberOffset)
		add(opAbove, 2, 0, x32)
		add(opAbove, 0, 1, uint32(newest[a]))
		add(opResult, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
		add(opJump, 0, 0, left)
	}
	if len(code)+len(program) > maxProgram {
		return nil, &Error{profilePath, fmt.Errorf("the filter has %d instructions, the kernel accepts %d", (len(code)+len(program))/8, maxProgram/8)}
	}
	return append(code, program...), nil
}
