package seccomp

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// when writes a program that has result 1 if a word of the call has a value, and result 2
// otherwise.
func when(offset, value uint32) []byte {
	program := appendInstruction(nil, opLoad, 0, 0, offset)
	program = appendInstruction(program, opEqual, 0, 1, value)
	program = appendInstruction(program, opResult, 0, 0, 1)
	return appendInstruction(program, opResult, 0, 0, 2)
}

func TestSameResults(t *testing.T) {
	always := appendInstruction(nil, opResult, 0, 0, 2)
	for _, c := range []struct {
		name string
		a, b []byte
		same bool
	}{
		{"the same", when(numberOffset, 5), when(numberOffset, 5), true},
		{"another number", when(numberOffset, 5), when(numberOffset, 6), false},
		{"a number beyond all calls", when(numberOffset, 1<<29), always, false},
		{"another architecture", when(archOffset, unix.AUDIT_ARCH_I386), when(archOffset, unix.AUDIT_ARCH_ARM), false},
		{"an architecture more", when(archOffset, unix.AUDIT_ARCH_I386), always, false},
		{"another argument", when(argsOffset+8, 70), when(argsOffset+8, 71), false},
		{"the other half of an argument", when(argsOffset, 70), when(argsOffset+4, 70), false},
		{"an instruction that libseccomp does not write", always, appendInstruction(nil, unix.BPF_MISC|unix.BPF_TAX, 0, 0, 0), false},
	} {
		if got := sameResults(c.a, c.b); got != c.same {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestSameResultsShortened: what shorten returns is found to be the same, and no longer is after
// one of its results was changed.
func TestSameResultsShortened(t *testing.T) {
	long := compileDocker(t)
	short := shorten(long)
	if !sameResults(long, short) {
		t.Fatal("the shortened program is not the same")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		wrong := append([]byte(nil), short...)
		at := 8 * r.IntN(len(wrong)/8)
		if wrong[at] != opResult {
			continue
		}
		wrong[at+4] ^= 1
		if sameResults(long, wrong) {
			t.Errorf("the result of instruction %d was changed, and is the same", at/8)
		}
	}
}

func BenchmarkSameResults(b *testing.B) {
	long := compileDocker(b)
	short := shorten(long)
	for b.Loop() {
		sameResults(long, short)
	}
}
