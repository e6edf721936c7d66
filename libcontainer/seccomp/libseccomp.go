//go:build seccomp && cgo

package seccomp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// profilePath is the path of a profile as a whole.
const profilePath = "linux.seccomp"

// Available reports whether this build has a compiler.
const Available = true

func compilerVersion() (string, error) { return Version(), nil }

// Version returns the version of libseccomp, "2.5.4".
func Version() string {
	major, minor, micro := seccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

func compile(profile *specs.LinuxSeccomp) ([]byte, error) { return Compile(profile) }

// Compile returns the filter program of a profile. A system call that libseccomp does not know is
// left out, as the specification requires (config-linux.md): it gets the default action.
func Compile(profile *specs.LinuxSeccomp) ([]byte, error) {
	action, err := actionOf(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, &Error{profilePath + ".defaultAction", err}
	}
	filter, err := seccomp.NewFilter(action)
	if err != nil {
		return nil, &Error{profilePath, fmt.Errorf("new filter: %w", err)}
	}
	defer filter.Release()
	for i, a := range profile.Architectures {
		arch, err := archOf(a)
		if err == nil {
			err = filter.AddArch(arch)
		}
		if err != nil {
			return nil, &Error{jsonpath.Index(profilePath+".architectures", i), err}
		}
	}
	// A binary tree in place of a list, because every system call of the container is looked up in
	// it.
	if err := filter.SetOptimize(2); err != nil {
		return nil, &Error{profilePath, err}
	}
	for i := range profile.Syscalls {
		if err := addRule(filter, &profile.Syscalls[i], action); err != nil {
			return nil, &Error{jsonpath.Index(profilePath+".syscalls", i), err}
		}
	}
	program, err := export(filter)
	if err != nil {
		return nil, &Error{profilePath, fmt.Errorf("export the filter: %w", err)}
	}
	if profile.DefaultAction != specs.ActErrno || profile.DefaultErrnoRet != nil && *profile.DefaultErrnoRet != uint(unix.EPERM) {
		return program, nil
	}
	newest, err := newestOf(profile)
	if err != nil {
		return nil, err
	}
	return newSyscalls(program, newest)
}

// export returns the program. The library writes it to a file, because it can only write to memory
// since 2.6.
func export(filter *seccomp.ScmpFilter) ([]byte, error) {
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	if err := filter.ExportBPF(f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// addRule adds one entry of linux.seccomp.syscalls.
func addRule(filter *seccomp.ScmpFilter, rule *specs.LinuxSyscall, byDefault seccomp.ScmpAction) error {
	action, err := actionOf(rule.Action, rule.ErrnoRet)
	if err != nil {
		return err
	}
	if action == byDefault { // libseccomp refuses a rule that changes nothing
		return nil
	}
	conditions, either, err := conditionsOf(rule.Args)
	if err != nil {
		return err
	}
	for _, name := range rule.Names {
		call, err := seccomp.GetSyscallFromName(name)
		if err != nil {
			continue
		}
		switch {
		case len(conditions) == 0:
			err = filter.AddRule(call, action)
		case either:
			for _, c := range conditions {
				err = errors.Join(err, filter.AddRuleConditional(call, action, []seccomp.ScmpCondition{c}))
			}
		default:
			err = filter.AddRuleConditional(call, action, conditions)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// conditionsOf converts the conditions on arguments. All must hold, but of several on one argument
// any one suffices: a rule of libseccomp has at most one for each argument, and other runtimes do
// the same.
func conditionsOf(args []specs.LinuxSeccompArg) (list []seccomp.ScmpCondition, either bool, err error) {
	var seen [6]bool
	for i, a := range args {
		var c seccomp.ScmpCondition
		if a.Op == specs.OpMaskedEqual {
			c, err = seccomp.MakeCondition(a.Index, seccomp.CompareMaskedEqual, a.Value, a.ValueTwo)
		} else {
			c, err = seccomp.MakeCondition(a.Index, operatorOf(a.Op), a.Value)
		}
		if err != nil {
			return nil, false, fmt.Errorf("args[%d]: %w", i, err)
		}
		either = either || seen[a.Index]
		seen[a.Index] = true
		list = append(list, c)
	}
	return list, either, nil
}

func operatorOf(op specs.LinuxSeccompOperator) seccomp.ScmpCompareOp {
	switch op {
	case specs.OpNotEqual:
		return seccomp.CompareNotEqual
	case specs.OpLessThan:
		return seccomp.CompareLess
	case specs.OpLessEqual:
		return seccomp.CompareLessOrEqual
	case specs.OpEqualTo:
		return seccomp.CompareEqual
	case specs.OpGreaterEqual:
		return seccomp.CompareGreaterEqual
	case specs.OpGreaterThan:
		return seccomp.CompareGreater
	}
	return seccomp.CompareInvalid
}

func actionOf(name specs.LinuxSeccompAction, errno *uint) (seccomp.ScmpAction, error) {
	code := int16(unix.EPERM)
	if errno != nil {
		if *errno > 0x7fff {
			return 0, fmt.Errorf("errnoRet %d is too large", *errno)
		}
		code = int16(*errno)
	}
	switch name {
	case specs.ActKill, specs.ActKillThread:
		return seccomp.ActKillThread, nil
	case specs.ActKillProcess:
		return seccomp.ActKillProcess, nil
	case specs.ActTrap:
		return seccomp.ActTrap, nil
	case specs.ActErrno:
		return seccomp.ActErrno.SetReturnCode(code), nil
	case specs.ActTrace:
		return seccomp.ActTrace.SetReturnCode(code), nil
	case specs.ActAllow:
		return seccomp.ActAllow, nil
	case specs.ActLog:
		return seccomp.ActLog, nil
	case specs.ActNotify:
		return seccomp.ActNotify, nil
	}
	return seccomp.ActInvalid, fmt.Errorf("unknown action %q", name)
}

// newestOf returns the highest number of a system call that the profile names, for each of its
// architectures.
func newestOf(profile *specs.LinuxSeccomp) (map[uint32]int, error) {
	native, err := seccomp.GetNativeArch()
	if err != nil {
		return nil, &Error{profilePath, err}
	}
	archs := []seccomp.ScmpArch{native}
	for _, a := range profile.Architectures {
		if arch, err := archOf(a); err == nil && !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
	}
	newest := make(map[uint32]int, len(archs))
	for _, arch := range archs {
		audit, ok := auditArch(arch)
		if !ok {
			continue
		}
		for i := range profile.Syscalls {
			for _, name := range profile.Syscalls[i].Names {
				if n, err := seccomp.GetSyscallFromNameByArch(name, arch); err == nil && int(n) > newest[audit] {
					newest[audit] = int(n)
				}
			}
		}
	}
	return newest, nil
}

// auditArch returns the kernel's number of an architecture (AUDIT_ARCH_*). New system calls of
// other architectures get the default action.
func auditArch(a seccomp.ScmpArch) (uint32, bool) {
	switch a {
	case seccomp.ArchAMD64:
		return unix.AUDIT_ARCH_X86_64, true
	case seccomp.ArchX86:
		return unix.AUDIT_ARCH_I386, true
	case seccomp.ArchARM64:
		return unix.AUDIT_ARCH_AARCH64, true
	case seccomp.ArchARM:
		return unix.AUDIT_ARCH_ARM, true
	}
	return 0, false
}

func archOf(a specs.Arch) (seccomp.ScmpArch, error) {
	// "SCMP_ARCH_X86_64" is "amd64" or "x86_64" to the library, which names all others in lower
	// case without the prefix.
	switch a {
	case specs.ArchX86_64:
		return seccomp.ArchAMD64, nil
	case specs.ArchAARCH64:
		return seccomp.ArchARM64, nil
	}
	return seccomp.GetArchFromString(strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
}
