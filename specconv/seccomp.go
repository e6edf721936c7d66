package specconv

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// seccompActions is the sorted table of actions, and whether each one has an errno.
var seccompActions = vocabulary[specs.LinuxSeccompAction, bool]{
	{specs.ActAllow, false},
	{specs.ActErrno, true},
	{specs.ActKill, false},
	{specs.ActKillProcess, false},
	{specs.ActKillThread, false},
	{specs.ActLog, false},
	{specs.ActNotify, false},
	{specs.ActTrace, true},
	{specs.ActTrap, false},
}

// seccompOperators are the operators that compare arguments, sorted.
var seccompOperators = [...]specs.LinuxSeccompOperator{
	specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual, specs.OpLessThan, specs.OpMaskedEqual,
	specs.OpNotEqual,
}

// seccompArchs are the specification's architectures, sorted.
var seccompArchs = [...]specs.Arch{
	specs.ArchAARCH64, specs.ArchARM, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchMIPS, specs.ArchMIPS64,
	specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPARISC, specs.ArchPARISC64,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchRISCV64, specs.ArchS390, specs.ArchS390X, specs.ArchSH,
	specs.ArchSHEB, specs.ArchX32, specs.ArchX86, specs.ArchX86_64,
}

// seccompFlags are the flags of seccomp(2) that a profile may have, sorted.
var seccompFlags = [...]specs.LinuxSeccompFlag{
	specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC",
	specs.LinuxSeccompFlagWaitKillableRecv,
}

// SeccompActions, SeccompOperators, SeccompArchs and SeccompFlags return what a profile may name,
// sorted.
func SeccompActions() []string { return seccompActions.names() }

// SeccompOperators: see SeccompActions.
func SeccompOperators() []string { return texts(seccompOperators[:]) }

// SeccompArchs: see SeccompActions.
func SeccompArchs() []string { return texts(seccompArchs[:]) }

// SeccompFlags: see SeccompActions.
func SeccompFlags() []string { return texts(seccompFlags[:]) }

func texts[T ~string](list []T) []string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = string(n)
	}
	return names
}

// seccomp checks the form of linux.seccomp, but not the names of system calls: the filter omits
// those that the kernel does not have.
func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	if s == nil {
		return
	}
	const path = "linux.seccomp"
	c.seccompAction(path+".defaultAction", path+".defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet)
	for i, a := range s.Architectures {
		if !slices.Contains(seccompArchs[:], a) {
			c.fault(jsonpath.Index(path+".architectures", i), "unknown architecture "+strconv.Quote(string(a)))
		}
	}
	for i, f := range s.Flags {
		c.problem(jsonpath.Index(path+".flags", i), oneOf(f, seccompFlags[:]...))
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
	here := jsonpath.Index("linux.seccomp.syscalls", i)
	if len(r.Names) == 0 {
		c.fault(here+".names", "needs at least one entry")
	}
	c.seccompAction(here+".action", here+".errnoRet", r.Action, r.ErrnoRet)
	for j, a := range r.Args {
		if a.Index > 5 {
			c.fault(jsonpath.Index(here+".args", j)+".index", "must be from 0 to 5, not "+strconv.FormatUint(uint64(a.Index), 10))
		}
		if !slices.Contains(seccompOperators[:], a.Op) {
			c.fault(jsonpath.Index(here+".args", j)+".op", "unknown operator "+strconv.Quote(string(a.Op)))
		}
	}
}

// seccompAction checks an action and its errno.
func (c *checker) seccompAction(path, errnoPath string, name specs.LinuxSeccompAction, errno *uint) {
	switch takesErrno, ok := seccompActions.value(name); {
	case name == "":
		c.fault(path, "is required")
	case !ok:
		c.fault(path, "unknown action "+strconv.Quote(string(name)))
	case errno != nil && !takesErrno:
		c.fault(errnoPath, "is not for "+string(name))
	}
}
