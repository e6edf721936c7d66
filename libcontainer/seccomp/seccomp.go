// Package seccomp compiles seccomp profiles to the kernel's filter programs, and caches them:
// libseccomp needs some twenty milliseconds for a profile like Docker's.
//
// The compiler is libseccomp, through github.com/seccomp/libseccomp-golang. There are three builds
// of this package:
//
//	tag seccomp, with cgo      libseccomp is linked. This build is for programs that import
//	                           libcontainer, and for the compiler itself
//	tag seccomp, without cgo   the compiler is a separate program (directory compiler), linked
//	                           statically and embedded here. This build is for orlop: the C
//	                           library would add 0.6 ms to each of its starts, and the compiler is
//	                           only started for a profile that is not in the cache. `make build`
//	                           makes it
//	no tag                     there is no compiler: a configuration with a profile is rejected
package seccomp

import (
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrUnavailable means that this build has no compiler.
var ErrUnavailable = errors.New("this build has no seccomp (build tag seccomp)")

// Error is the problem with a member of a profile.
type Error struct {
	Path string // "linux.seccomp.syscalls[3]"
	Err  error
}

// Error returns "path: error".
func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// A Filter is a compiled profile.
type Filter struct {
	// Program is a list of instructions of eight bytes each (struct sock_filter).
	Program []byte
	// Flags are those of seccomp(2).
	Flags uint
	// Notify is set when a seccomp agent decides about some calls (SCMP_ACT_NOTIFY).
	Notify bool
}

// Get returns the filter for a profile, from the cache in the directory dir if possible. Without a
// directory, or with an unsuitable one, it compiles the profile. The error names the profile's
// member.
func Get(profile *specs.LinuxSeccomp, dir string) (*Filter, error) {
	f := &Filter{Flags: flags(profile), Notify: notifies(profile)}
	version, err := compilerVersion()
	if err != nil {
		return nil, err
	}
	cache := openCache(dir)
	defer cache.close()
	key := keyOf(profile, version)
	if f.Program = cache.get(key); f.Program != nil {
		return f, nil
	}
	if f.Program, err = compile(profile); err != nil {
		return nil, err
	}
	if short := shorten(f.Program); sameResults(f.Program, short) {
		f.Program = short
	}
	cache.put(key, f.Program)
	return f, nil
}

// flags returns the flags of a profile. Without any, speculation mitigations stay off for the
// process, as they are by default since Linux 5.16 and in other runtimes; TSYNC has no meaning for
// a process of one thread.
func flags(profile *specs.LinuxSeccomp) uint {
	if profile.Flags == nil {
		return unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	var n uint
	for _, f := range profile.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			n |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			n |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			n |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		}
	}
	return n
}

func notifies(profile *specs.LinuxSeccomp) bool {
	for i := range profile.Syscalls {
		if profile.Syscalls[i].Action == specs.ActNotify {
			return true
		}
	}
	return profile.DefaultAction == specs.ActNotify
}
