package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/profile"
)

// randomProgram writes a program in libseccomp's form: comparisons of the last loaded value,
// forward jumps, results.
func randomProgram(r *rand.Rand) (program []byte, constants []uint32) {
	n := 2 + r.IntN(300)
	constants = []uint32{0, 1, math.MaxUint32, math.MaxUint32 - 1, 1 << 30}
	for range 1 + r.IntN(40) {
		constants = append(constants, uint32(r.IntN(60)))
	}
	loads := []uint32{numberOffset, numberOffset, numberOffset, archOffset, 16, 20}
	branches := []uint16{opEqual, opEqual, opFrom, opAbove, opAbove, opBits}
	program = appendInstruction(nil, opLoad, 0, 0, loads[r.IntN(len(loads))])
	for i := 1; i < n-1; i++ {
		left := n - 1 - i // instructions after the next one
		k := constants[r.IntN(len(constants))]
		switch r.IntN(16) {
		case 0, 1:
			program = appendInstruction(program, opLoad, 0, 0, loads[r.IntN(len(loads))])
		case 2:
			program = appendInstruction(program, opAnd, 0, 0, k)
		case 3:
			program = appendInstruction(program, opJump, 0, 0, uint32(r.IntN(left)))
		case 4, 5:
			program = appendInstruction(program, opResult, 0, 0, uint32(r.IntN(3)))
		default:
			near := min(left, 256)
			program = appendInstruction(program, branches[r.IntN(len(branches))], uint8(r.IntN(near)), uint8(r.IntN(near)), k)
		}
	}
	return appendInstruction(program, opResult, 0, 0, 7), constants
}

// A comparison has a long program and a short one that must have the same results.
type comparison struct{ long, short *bpf.VM }

func compare(t *testing.T, long, short []byte) comparison {
	t.Helper()
	return comparison{machine(t, long), machine(t, short)}
}

func (c comparison) call(t *testing.T, arch, number uint32, args ...uint64) {
	t.Helper()
	want, got := answer(t, c.long, arch, number, args...), answer(t, c.short, arch, number, args...)
	if got != want {
		t.Fatalf("architecture %#x, call %#x %#x: %#x, want %#x", arch, number, args, got, want)
	}
}

// compileDocker returns libseccomp's program for Docker's profile. It skips a test without a
// compiler.
func compileDocker(t testing.TB) []byte {
	t.Helper()
	var p specs.LinuxSeccomp
	if err := json.Unmarshal(profile.Docker(), &p); err != nil {
		t.Fatal(err)
	}
	program, err := compile(&p)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// FuzzShorten: a shortened program has the same results as the long one, including the edges of
// spans.
func FuzzShorten(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		long, constants := randomProgram(r)
		short := shorten(long)
		if len(short) > len(long) {
			t.Fatalf("%d instructions of %d", len(short)/8, len(long)/8)
		}
		both := compare(t, long, short)
		value := func() uint32 { return constants[r.IntN(len(constants))] + uint32(r.IntN(3)) - 1 }
		for number := range uint32(62) {
			both.call(t, value(), number, uint64(value())<<32|uint64(value()))
		}
		for range 60 {
			both.call(t, value(), value(), uint64(value())<<32|uint64(value()))
		}
	})
}

// TestShortenDocker: for each architecture and number, Docker's profile has the results of
// libseccomp's program, which is more than twice as long.
func TestShortenDocker(t *testing.T) {
	long := compileDocker(t)
	short := shorten(long)
	if 2*len(short) > len(long) {
		t.Errorf("%d instructions of %d", len(short)/8, len(long)/8)
	}
	both := compare(t, long, short)
	const x32 = 1 << 30
	arguments := [][]uint64{{}, {8}, {0x20008}, {0xffffffff}, {unix.CLONE_NEWUSER}, {math.MaxUint64}, {unix.AF_VSOCK}}
	for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, 0} {
		for number := range uint32(600) {
			for _, start := range []uint32{0, x32, x32 - 300, math.MaxUint32 - 599} {
				for _, args := range arguments {
					both.call(t, arch, start+number, args...)
				}
			}
		}
	}
}

// TestShortenFar: targets that are too far for a comparison.
func TestShortenFar(t *testing.T) {
	const calls = 1300
	long := appendInstruction(nil, opLoad, 0, 0, numberOffset)
	// Twice as many comparisons as necessary, because two numbers have one result.
	for i := range uint32(calls) {
		long = appendInstruction(long, opEqual, 0, 1, i)
		long = appendInstruction(long, opResult, 0, 0, unix.SECCOMP_RET_ERRNO|i/2)
	}
	long = appendInstruction(long, opResult, 0, 0, unix.SECCOMP_RET_ALLOW)
	short := shorten(long)
	if len(short) >= len(long) {
		t.Errorf("%d instructions of %d", len(short)/8, len(long)/8)
	}
	both := compare(t, long, short)
	for i := range uint32(calls + 2) {
		both.call(t, unix.AUDIT_ARCH_X86_64, i)
	}
	both.call(t, unix.AUDIT_ARCH_X86_64, math.MaxUint32)
}

// TestShortenUnknown: a program stays as it is if it has an instruction that libseccomp does not
// write, or a target outside of it.
func TestShortenUnknown(t *testing.T) {
	load := appendInstruction(nil, opLoad, 0, 0, numberOffset)
	equal := func(yes, no uint8) []byte { return appendInstruction(load, opEqual, yes, no, 1) }
	result := func(code []byte) []byte { return appendInstruction(code, opResult, 0, 0, 1) }
	for name, code := range map[string][]byte{
		"empty":       {},
		"no end":      load,
		"yes":         result(equal(1, 0)),
		"no":          result(equal(0, 1)),
		"jump":        result(appendInstruction(load, opJump, 0, 0, 1)),
		"far jump":    result(appendInstruction(load, opJump, 0, 0, math.MaxUint32)),
		"jump first":  result(appendInstruction(nil, opJump, 0, 0, 0)),
		"instruction": result(appendInstruction(load, unix.BPF_MISC|unix.BPF_TAX, 0, 0, 0)),
	} {
		if got := shorten(code); string(got) != string(code) {
			t.Errorf("%s: %x became %x", name, code, got)
		}
		if _, ok := parseGraph(code); ok {
			t.Errorf("%s: taken", name)
		}
	}
	if n := binary.NativeEndian.Uint32(shorten(result(equal(0, 0)))[4:]); n != numberOffset {
		t.Errorf("first instruction %x", n)
	}
}
