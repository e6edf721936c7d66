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
	return evaluate(program, call{nativeArch(), uint32(number), args})
}

// A call is what a filter sees of a system call.
type call struct {
	arch, number uint32
	args         []uint64 // as far as they are known
}

// evaluate runs a program. It returns false if the result depends on what is not known of the call,
// or if the program has instructions that libseccomp does not write.
func evaluate(program []byte, c call) (answer uint32, ok bool) {
	var value uint32
	known := false
	for at := 0; 8*at+8 <= len(program); {
		b := program[8*at:]
		op, k := binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint32(b[4:])
		at++
		var holds bool
		switch op {
		case opLoad:
			value, known = c.word(k)
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

// word returns the word of struct seccomp_data at an offset. It returns false for unknown arguments
// and for the instruction pointer.
func (c *call) word(offset uint32) (uint32, bool) {
	// Both architectures are little-endian: the low half of an argument comes first.
	if at := int(offset) - argsOffset; at >= 0 && at < 8*len(c.args) {
		return uint32(c.args[at/8] >> (at % 8 * 8)), true
	}
	switch offset {
	case numberOffset:
		return c.number, true
	case archOffset:
		return c.arch, c.arch != 0
	}
	return 0, false
}

// nativeArch returns the AUDIT_ARCH_* of this architecture, 0 if it has no filters here.
func nativeArch() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	return 0
}
