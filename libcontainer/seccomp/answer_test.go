package seccomp

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAnswer: the answers are those of the kernel's machine, for all calls of the native
// architecture; one that depends on arguments is none.
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
