package libcontainer

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/async"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/seccomp"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

// A seccompFilter is the filter of a profile that is being compiled. It is nil without a profile.
type seccompFilter struct {
	*seccomp.Filter
	profile *specs.LinuxSeccomp
	wait    func() error
}

// compileSeccomp begins to compile the filter of a bundle's profile, beside other work.
func compileSeccomp(b *specconv.Bundle, cache string) *seccompFilter {
	if b.Spec.Linux == nil || b.Spec.Linux.Seccomp == nil {
		return nil
	}
	f := &seccompFilter{profile: b.Spec.Linux.Seccomp}
	f.wait = async.Go(func() (err error) {
		f.Filter, err = seccomp.Get(f.profile, cache)
		return err
	})
	return f
}

// facts waits for the filter, and returns it as the planner knows it.
func (f *seccompFilter) facts() (*setup.SeccompFilter, error) {
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
	return filterFacts(f.Program, f.Flags, f.Notify), nil
}

// filterFacts is a filter as the planner knows it.
func filterFacts(program []byte, flags uint, notify bool) *setup.SeccompFilter {
	f := &setup.SeccompFilter{Program: program, Flags: flags, Notify: notify, Answers: make(map[uintptr]uint32)}
	for _, call := range setup.FilteredCalls() {
		if answer, ok := seccomp.Answer(program, call.Number, call.Args...); ok {
			f.Answers[call.Number] = answer
		}
	}
	return f
}

// record returns what start and exec need of the filter.
func (f *seccompFilter) record() *state.Seccomp {
	if f == nil {
		return nil
	}
	return &state.Seccomp{Program: f.Program, Flags: f.Flags, Notify: f.Notify,
		ListenerPath: f.profile.ListenerPath, ListenerMetadata: f.profile.ListenerMetadata}
}

// recordedFilter returns the filter of a container that was created, nil when it has none.
func recordedFilter(rec *state.Record) *setup.SeccompFilter {
	s := rec.Seccomp
	if s == nil {
		return nil
	}
	return filterFacts(s.Program, s.Flags, s.Notify)
}

// handListener hands the listener of a process's filter to the agent (config-linux.md, "The Container Process State"). pid is that process's number.
func handListener(rec *state.Record, status specs.ContainerState, pid int, listener *os.File) error {
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

// checkListener refuses what is not the listener of a seccomp filter. A tracer in a joined PID namespace can make a
// created process send any file descriptor, and the agent would act on that one with its own privileges.
func checkListener(f *os.File) error {
	target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	if target != "anon_inode:seccomp notify" {
		return fmt.Errorf("the process sent %s in place of the listener of its filter", target)
	}
	return nil
}
