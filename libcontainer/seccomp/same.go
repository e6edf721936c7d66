package seccomp

import (
	"encoding/binary"
	"math"
	"slices"
)

// sameResults reports whether two programs have the same results for each architecture, number and
// argument that they compare anything with, and for the values next to these. Between two such
// values the results do not change. Numbers are also compared one by one where system calls are.
func sameResults(a, b []byte) bool {
	values := edges(a, edges(b, map[uint32][]uint32{numberOffset: {0}, archOffset: {1}}))
	numbers := values[numberOffset]
	for n := range uint32(1024) {
		numbers = append(numbers, n, x32Bit|n)
	}
	numbers = distinct(numbers)
	arguments := argumentLists(values)
	for _, arch := range distinct(values[archOffset]) {
		for _, number := range numbers {
			if !sameCall(a, b, call{arch, number, nil}, arguments) {
				return false
			}
		}
	}
	return true
}

// x32Bit is in the numbers of the x32 ABI: __X32_SYSCALL_BIT.
const x32Bit = 1 << 30

// sameCall compares the results for a call, with each list of arguments if they matter.
func sameCall(a, b []byte, c call, arguments [][]uint64) bool {
	resultA, okA := evaluate(a, c)
	resultB, okB := evaluate(b, c)
	if okA || okB {
		return okA && okB && resultA == resultB
	}
	for _, c.args = range arguments {
		resultA, okA = evaluate(a, c)
		resultB, okB = evaluate(b, c)
		if !okA || !okB || resultA != resultB {
			return false
		}
	}
	return true
}

// edges adds the values that a program compares each word of struct seccomp_data with, and their
// neighbors, by the word's offset.
func edges(program []byte, values map[uint32][]uint32) map[uint32][]uint32 {
	word := uint32(numberOffset)
	for ; len(program) >= 8; program = program[8:] {
		op, k := binary.NativeEndian.Uint16(program), binary.NativeEndian.Uint32(program[4:])
		switch op {
		case opLoad:
			word = k
		case opEqual, opAbove, opFrom, opBits, opAnd:
			values[word] = append(values[word], k-1, k, k+1)
		}
	}
	return values
}

// argumentLists returns lists of all six arguments. In each list, all have the same value.
func argumentLists(values map[uint32][]uint32) (lists [][]uint64) {
	halves := []uint32{0, 1, math.MaxUint32}
	for offset, list := range values {
		if offset >= argsOffset {
			halves = append(halves, list...)
		}
	}
	halves = distinct(halves)
	for _, low := range halves {
		for _, high := range []uint32{0, low, math.MaxUint32} {
			lists = append(lists, slices.Repeat([]uint64{uint64(high)<<32 | uint64(low)}, 6))
		}
	}
	return lists
}

func distinct(list []uint32) []uint32 {
	slices.Sort(list)
	return slices.Compact(list)
}
