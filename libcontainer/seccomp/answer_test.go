package seccomp

import (
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAnswer: the results are those of the kernel's machine, for all calls of the native
// architecture. There is none for a call whose result depends on arguments.
func TestAnswer(t *testing.T) {
	arch := native(t)
	rules := []specs.LinuxSyscall{
		{Names: []string{"execve", "write"}, Action: specs.ActAllow},
		{Names: []string{"read"}, Action: specs.ActNotify},
		{Names: []string{"capset"}, Action: specs.ActKillProcess},
		{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 8, Op: specs.OpEqualTo}}},
	}
	for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKill, specs.ActAllow} {
		program := made(t, &specs.LinuxSeccomp{DefaultAction: action, Syscalls: rules})
		vm := machine(t, program)
		for number := uint32(0); number < 600; number++ {
			got, ok := Answer(program, uintptr(number))
			if depends := number == unix.SYS_PERSONALITY && action != specs.ActAllow; ok == depends {
				t.Errorf("%s, call %d: depends on arguments: %v", action, number, !ok)
			}
			if want := answer(t, vm, arch, number); ok && got != want {
				t.Errorf("%s, call %d: %#x, want %#x", action, number, got, want)
			}
		}
	}
	for name, program := range map[string][]byte{"empty": nil, "cut": {6, 0, 0}, "unknown": appendInstruction(nil, unix.BPF_MISC, 0, 0, 0),
		"jump beyond the end": appendInstruction(nil, opJump, 0, 0, 9), "loop-like jump": appendInstruction(nil, opJump, 0, 0, ^uint32(0))} {
		if a, ok := Answer(program, 1); ok {
			t.Errorf("%s: answers %#x", name, a)
		}
	}
}

// FuzzEvaluate: the result is that of the kernel's machine for any values of the unknown arguments;
// any bytes are accepted.
func FuzzEvaluate(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed, uint32(seed), seed<<32|seed, []byte{6, 0, 0, 0, 1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, seed uint64, number uint32, argument uint64, odd []byte) {
		arch := native(t)
		Answer(odd, uintptr(number), argument)
		program, _ := randomProgram(rand.New(rand.NewPCG(seed, 0)))
		vm := machine(t, program)
		without, ok := Answer(program, uintptr(number))
		for _, a := range []uint64{argument, 0, ^uint64(0), argument >> 32, argument << 32} {
			want := answer(t, vm, arch, number, a)
			if got, known := Answer(program, uintptr(number), a); !known || got != want {
				t.Errorf("call %d %#x: %#x, %v, want %#x", number, a, got, known, want)
			}
			if ok && without != want {
				t.Errorf("call %d %#x: %#x, found without the argument, want %#x", number, a, without, want)
			}
		}
	})
}
