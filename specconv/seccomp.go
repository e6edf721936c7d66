package specconv

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// seccomp checks the form of linux.seccomp. Names of system calls are not looked at: those that the kernel does not have are
// left out when the filter is made.
func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	if s == nil {
		return
	}
	const path = "linux.seccomp"
	c.seccompAction(path+".defaultAction", path+".defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet)
	for i, a := range s.Architectures {
		if !seccompArch(a) {
			c.fault(at(path+".architectures", i), "unknown architecture "+strconv.Quote(string(a)))
		}
	}
	for i, f := range s.Flags {
		if problem := oneOf(f, "SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow,
			specs.LinuxSeccompFlagWaitKillableRecv); problem != "" {
			c.fault(at(path+".flags", i), problem)
		}
	}
	c.text(path+".listenerPath", s.ListenerPath)
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.fault(path+".listenerMetadata", "must not be set without listenerPath")
	}
	for i := range s.Syscalls {
		c.seccompRule(i, &s.Syscalls[i])
	}
}

// seccompRule checks one entry of linux.seccomp.syscalls.
func (c *checker) seccompRule(i int, r *specs.LinuxSyscall) {
	here := at("linux.seccomp.syscalls", i)
	if len(r.Names) == 0 {
		c.fault(here+".names", "needs at least one entry")
	}
	c.seccompAction(here+".action", here+".errnoRet", r.Action, r.ErrnoRet)
	for j, a := range r.Args {
		if a.Index > 5 {
			c.fault(at(here+".args", j)+".index", "must be from 0 to 5, not "+strconv.FormatUint(uint64(a.Index), 10))
		}
		switch a.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual,
			specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			c.fault(at(here+".args", j)+".op", "unknown operator "+strconv.Quote(string(a.Op)))
		}
	}
}

// seccompAction checks an action and its errno.
func (c *checker) seccompAction(path, errnoPath string, a specs.LinuxSeccompAction, errno *uint) {
	switch a {
	case "":
		c.fault(path, "is required")
	case specs.ActErrno, specs.ActTrace:
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActAllow, specs.ActLog, specs.ActNotify:
		if errno != nil {
			c.fault(errnoPath, "is not for "+string(a))
		}
	default:
		c.fault(path, "unknown action "+strconv.Quote(string(a)))
	}
}

// seccompArch reports whether an architecture is one of the specification's.
func seccompArch(a specs.Arch) bool {
	switch a {
	case specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64,
		specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64,
		specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB:
		return true
	}
	return false
}
