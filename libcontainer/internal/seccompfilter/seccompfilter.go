// Package seccompfilter has a container's seccomp filter: compiled beside other work, described to
// the planner, recorded for start and exec, its listener handed to the agent.
package seccompfilter

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/async"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/seccomp"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

// A Filter is that of a profile that is being compiled. It is nil without a profile.
type Filter struct {
	*seccomp.Filter
	profile *specs.LinuxSeccomp
	wait    func() error
}

// Compile begins to compile the filter of a bundle's profile, beside other work.
func Compile(b *specconv.Bundle, cache string) *Filter {
	if b.Spec.Linux == nil || b.Spec.Linux.Seccomp == nil {
		return nil
	}
	f := &Filter{profile: b.Spec.Linux.Seccomp}
	f.wait = async.Go(func() (err error) {
		f.Filter, err = seccomp.Get(f.profile, cache)
		return err
	})
	return f
}

// Facts waits for the filter, and returns it as the planner knows it.
func (f *Filter) Facts() (*setup.SeccompFilter, error) {
	if f == nil {
		return nil, nil
	}
	err := f.wait()
	if e := (*seccomp.Error)(nil); errors.As(err, &e) {
		return nil, specconv.Invalid(e.Path, e.Err.Error())
	}
	if err != nil {
		return nil, &specconv.FieldError{Path: "linux.seccomp", Err: err}
	}
	if f.Notify && f.profile.ListenerPath == "" {
		return nil, specconv.Invalid("linux.seccomp.listenerPath", "is required for SCMP_ACT_NOTIFY")
	}
	return factsOf(f.Program, f.Flags, f.Notify), nil
}

// factsOf is a filter as the planner knows it.
func factsOf(program []byte, flags uint, notify bool) *setup.SeccompFilter {
	f := &setup.SeccompFilter{Program: program, Flags: flags, Notify: notify, Answers: make(map[uintptr]uint32)}
	for _, call := range setup.FilteredCalls() {
		if answer, ok := seccomp.Answer(program, call.Number, call.Args...); ok {
			f.Answers[call.Number] = answer
		}
	}
	return f
}

// Record returns what start and exec need of the filter.
func (f *Filter) Record() *state.Seccomp {
	if f == nil {
		return nil
	}
	return &state.Seccomp{Program: f.Program, Flags: f.Flags, Notify: f.Notify,
		ListenerPath: f.profile.ListenerPath, ListenerMetadata: f.profile.ListenerMetadata}
}

// Recorded returns the filter of a container that was created, nil when it has none.
func Recorded(rec *state.Record) *setup.SeccompFilter {
	s := rec.Seccomp
	if s == nil {
		return nil
	}
	return factsOf(s.Program, s.Flags, s.Notify)
}

// HandListener hands the listener of a process's filter to the agent (config-linux.md, "The
// Container Process State"). pid is that process's number.
func HandListener(rec *state.Record, status specs.ContainerState, pid int, listener *os.File) error {
	if listener == nil {
		return &specconv.FieldError{Path: "linux.seccomp", Err: errors.New("the process sent no listener")}
	}
	defer listener.Close()
	if err := checkListener(listener); err != nil {
		return &specconv.FieldError{Path: "linux.seccomp", Err: err}
	}
	s := rec.Seccomp
	if s == nil {
		return &specconv.FieldError{Path: "linux.seccomp", Err: errors.New("the process sent a listener that nobody asked for")}
	}
	e := codec.Encoder{}
	codec.EncodeContainerProcessState(&e, &specs.ContainerProcessState{
		Version:  rec.OCIVersion,
		Fds:      []string{specs.SeccompFdName},
		Pid:      pid,
		Metadata: s.ListenerMetadata,
		State: specs.State{Version: rec.OCIVersion, ID: rec.ID, Status: status, Pid: rec.Pid, Bundle: rec.Bundle,
			Annotations: rec.Annotations},
	})
	if err := console.SendMessage(s.ListenerPath, e.Buf, listener); err != nil {
		return &specconv.FieldError{Path: "linux.seccomp.listenerPath", Err: err}
	}
	return nil
}

// checkListener refuses what is not the listener of a seccomp filter. A tracer in a joined PID
// namespace can make a created process send any file descriptor, and the agent would act on that
// one with its own privileges.
func checkListener(f *os.File) error {
	target, err := os.Readlink(sys.FdPath(int(f.Fd())))
	if err != nil {
		return err
	}
	if target != "anon_inode:seccomp notify" {
		return fmt.Errorf("the process sent %s in place of the listener of its filter", target)
	}
	return nil
}
