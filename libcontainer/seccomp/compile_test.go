package seccomp

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// machine executes a program.
func machine(t *testing.T, program []byte) *bpf.VM {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(program)/8)
	for i := range raw {
		b := program[8*i:]
		raw[i] = bpf.RawInstruction{Op: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])}
	}
	list, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("unknown instructions")
	}
	vm, err := bpf.NewVM(list)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// run executes a program for a system call, as the kernel would, and returns its result.
func run(t *testing.T, program []byte, arch uint32, number int, args ...uint64) uint32 {
	t.Helper()
	return answer(t, machine(t, program), arch, uint32(number), args...)
}

func answer(t *testing.T, vm *bpf.VM, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	// struct seccomp_data; the VM reads big endian.
	data := binary.BigEndian.AppendUint32(make([]byte, 0, 64), number)
	data = binary.BigEndian.AppendUint32(data, arch)
	data = append(data, make([]byte, 8)...)
	for i := range 6 {
		var a uint64
		if i < len(args) {
			a = args[i]
		}
		data = binary.BigEndian.AppendUint32(data, uint32(a)) // the low half comes first
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func native(t *testing.T) uint32 {
	t.Helper()
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	t.Skip("the numbers of this architecture are not known here")
	return 0
}

// made compiles a profile, and skips the test in a build without a compiler.
func made(t *testing.T, p *specs.LinuxSeccomp) []byte {
	t.Helper()
	f, err := Get(p, "")
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Program
}

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// TestNewSystemCalls: a call newer than the profile does not exist; one that the profile could have
// named is forbidden.
func TestNewSystemCalls(t *testing.T) {
	arch := native(t)
	allow := []specs.LinuxSyscall{{Names: []string{"getpid", "openat2", "no_such_call"}, Action: specs.ActAllow}}
	program := made(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: allow})
	for number, want := range map[int]uint32{
		unix.SYS_GETPID:      unix.SECCOMP_RET_ALLOW,
		unix.SYS_OPENAT2:     unix.SECCOMP_RET_ALLOW,
		unix.SYS_OPENAT2 - 1: errno(unix.EPERM),
		unix.SYS_OPENAT2 + 1: errno(unix.ENOSYS),
		9999:                 errno(unix.ENOSYS),
	} {
		if got := run(t, program, arch, number); got != want {
			t.Errorf("call %d: %#x, want %#x", number, got, want)
		}
	}
	for name, p := range map[string]*specs.LinuxSeccomp{
		"killed":        {DefaultAction: specs.ActKillProcess, Syscalls: allow},
		"another errno": {DefaultAction: specs.ActErrno, DefaultErrnoRet: new(uint), Syscalls: allow},
	} {
		if got := run(t, made(t, p), arch, 9999); got == errno(unix.ENOSYS) {
			t.Errorf("%s: the profile's own default does not hold", name)
		}
	}
}

// TestActions: each action and errno.
func TestActions(t *testing.T) {
	arch := native(t)
	five := uint(5)
	for action, want := range map[specs.LinuxSeccompAction]uint32{
		specs.ActKill: unix.SECCOMP_RET_KILL_THREAD, specs.ActKillThread: unix.SECCOMP_RET_KILL_THREAD,
		specs.ActKillProcess: unix.SECCOMP_RET_KILL_PROCESS, specs.ActTrap: unix.SECCOMP_RET_TRAP, specs.ActErrno: errno(5),
		specs.ActTrace: unix.SECCOMP_RET_TRACE | 5, specs.ActLog: unix.SECCOMP_RET_LOG, specs.ActNotify: unix.SECCOMP_RET_USER_NOTIF,
	} {
		rule := specs.LinuxSyscall{Names: []string{"getpid"}, Action: action}
		if action == specs.ActErrno || action == specs.ActTrace {
			rule.ErrnoRet = &five
		}
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule}}
		if got := run(t, made(t, p), arch, unix.SYS_GETPID); got != want {
			t.Errorf("%s: %#x, want %#x", action, got, want)
		}
		if f, err := Get(p, ""); err != nil || f.Notify != (action == specs.ActNotify) {
			t.Errorf("%s: %v, notify %v", action, err, f.Notify)
		}
	}
}

// TestArguments: each operator. Conditions on several arguments must all hold, several conditions
// on one argument need not.
func TestArguments(t *testing.T) {
	arch := native(t)
	big := uint64(1)<<40 | 7
	cases := []struct {
		op      specs.LinuxSeccompOperator
		a, b    uint64
		yes, no uint64
	}{
		{specs.OpEqualTo, big, 0, big, 7}, {specs.OpNotEqual, big, 0, 7, big}, {specs.OpLessThan, big, 0, big - 1, big},
		{specs.OpLessEqual, big, 0, big, big + 1}, {specs.OpGreaterThan, big, 0, big + 1, big}, {specs.OpGreaterEqual, big, 0, big, big - 1},
		{specs.OpMaskedEqual, 0xf0, 0x30, 0x35, 0x45},
	}
	profile := func(args ...specs.LinuxSeccompArg) []byte {
		return made(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
			Syscalls: []specs.LinuxSyscall{{Names: []string{"getpid"}, Action: specs.ActKillProcess, Args: args}}})
	}
	const killed = unix.SECCOMP_RET_KILL_PROCESS
	for _, c := range cases {
		program := profile(specs.LinuxSeccompArg{Index: 2, Value: c.a, ValueTwo: c.b, Op: c.op})
		if got := run(t, program, arch, unix.SYS_GETPID, 0, 0, c.yes); got != killed {
			t.Errorf("%s %#x: %#x for %#x", c.op, c.a, got, c.yes)
		}
		if got := run(t, program, arch, unix.SYS_GETPID, 0, 0, c.no); got == killed {
			t.Errorf("%s %#x holds for %#x", c.op, c.a, c.no)
		}
	}
	both := profile(specs.LinuxSeccompArg{Index: 0, Value: 1, Op: specs.OpEqualTo}, specs.LinuxSeccompArg{Index: 1, Value: 2, Op: specs.OpEqualTo})
	if run(t, both, arch, unix.SYS_GETPID, 1, 2) != killed || run(t, both, arch, unix.SYS_GETPID, 1, 3) == killed {
		t.Error("conditions on two arguments")
	}
	either := profile(specs.LinuxSeccompArg{Index: 0, Value: 1, Op: specs.OpEqualTo}, specs.LinuxSeccompArg{Index: 0, Value: 2, Op: specs.OpEqualTo})
	if run(t, either, arch, unix.SYS_GETPID, 1) != killed || run(t, either, arch, unix.SYS_GETPID, 2) != killed || run(t, either, arch, unix.SYS_GETPID, 3) == killed {
		t.Error("two conditions on one argument")
	}
}

// TestArchitectures: a call of another architecture has the number of that architecture; an
// architecture that the profile does not name has no calls.
func TestArchitectures(t *testing.T) {
	if native(t) != unix.AUDIT_ARCH_X86_64 {
		t.Skip("the numbers are those of amd64")
	}
	rules := []specs.LinuxSyscall{{Names: []string{"getpid"}, Action: specs.ActAllow}}
	program := made(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rules,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}})
	const getpid386, x32 = 20, 1 << 30
	for _, c := range []struct {
		arch   uint32
		number int
		want   uint32
	}{
		{unix.AUDIT_ARCH_X86_64, unix.SYS_GETPID, unix.SECCOMP_RET_ALLOW},
		{unix.AUDIT_ARCH_I386, getpid386, unix.SECCOMP_RET_ALLOW},
		{unix.AUDIT_ARCH_I386, getpid386 - 1, errno(unix.EPERM)},
		{unix.AUDIT_ARCH_I386, getpid386 + 1, errno(unix.ENOSYS)},
		{unix.AUDIT_ARCH_X86_64, x32 | unix.SYS_GETPID, unix.SECCOMP_RET_ALLOW},
		{unix.AUDIT_ARCH_AARCH64, 172, unix.SECCOMP_RET_KILL_THREAD},
	} {
		if got := run(t, program, c.arch, c.number); got != c.want {
			t.Errorf("architecture %#x, call %d: %#x, want %#x", c.arch, c.number, got, c.want)
		}
	}
}
