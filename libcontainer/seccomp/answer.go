package seccomp

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sys/unix"
)

// Answer returns a filter's result for a system call of this architecture: SECCOMP_RET_*, with its
// data. args are the call's first arguments, as far as they are known. Answer reports false if the
// result depends on others, or if the program has instructions that libseccomp does not write.
func Answer(program []byte, number uintptr, args ...uint64) (answer uint32, ok bool) {
	var value uint32
	known := false
	for at := 0; 8*at+8 <= len(program); {
		b := program[8*at:]
		op, k := binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint32(b[4:])
		at++
		var holds bool
		switch op {
		case opLoad:
			value, known = dataOf(k, number, args)
			continue
		case opAnd:
			value &= k
			continue
		case opJump:
			at += int(k)
			continue
		case opResult:
			return k, true
		case opEqual:
			holds = value == k
		case opAbove:
			holds = value > k
		case opFrom:
			holds = value >= k
		case opBits:
			holds = value&k != 0
		default:
			return 0, false
		}
		if !known {
			return 0, false
		}
		if holds {
			at += int(b[2])
		} else {
			at += int(b[3])
		}
	}
	return 0, false
}

// dataOf returns a word of struct seccomp_data for a call. It returns false for unknown arguments
// and for the instruction pointer.
func dataOf(offset uint32, number uintptr, args []uint64) (uint32, bool) {
	// Both architectures are little-endian: the low half of an argument comes first.
	if at := int(offset) - argsOffset; at >= 0 && at < 8*len(args) {
		return uint32(args[at/8] >> (at % 8 * 8)), true
	}
	switch offset {
	case numberOffset:
		return uint32(number), true
	case archOffset:
		switch runtime.GOARCH {
		case "amd64":
			return unix.AUDIT_ARCH_X86_64, true
		case "arm64":
			return unix.AUDIT_ARCH_AARCH64, true
		}
	}
	return 0, false
}
