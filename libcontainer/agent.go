package libcontainer

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/async"
	"github.com/orlop/orlop/libcontainer/seccomp"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

// compileSeccomp begins to make the filter of the bundle's profile, beside other work; nil without one.
func (c *creation) compileSeccomp() {
	profile := c.profile()
	if profile == nil {
		return
	}
	c.filter = new(seccompFilter)
	c.filter.wait = async.Go(func() (err error) {
		c.filter.Filter, err = seccomp.Get(profile, c.runtime.SeccompCache)
		return err
	})
}

// A seccompFilter is a filter that is being made.
type seccompFilter struct {
	*seccomp.Filter
	wait func() error
}

func (c *creation) profile() *specs.LinuxSeccomp {
	if c.bundle.Spec.Linux == nil {
		return nil
	}
	return c.bundle.Spec.Linux.Seccomp
}

// seccompFacts waits for the filter.
func (c *creation) seccompFacts() (*setup.SeccompFilter, error) {
	if c.filter == nil {
		return nil, nil
	}
	err := c.filter.wait()
	if e := (*seccomp.Error)(nil); errors.As(err, &e) {
		return nil, specconv.Invalid(e.Path, e.Err.Error())
	}
	if err != nil {
		return nil, &specconv.FieldError{Path: "linux.seccomp", Err: err}
	}
	f := filterFacts(c.filter.Program, c.filter.Flags, c.filter.Notify)
	if f.Notify && c.profile().ListenerPath == "" {
		return nil, specconv.Invalid("linux.seccomp.listenerPath", "is required for SCMP_ACT_NOTIFY")
	}
	return f, nil
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

// seccompRecord is what start and exec need of the filter.
func (c *creation) seccompRecord() *state.Seccomp {
	if c.filter == nil {
		return nil
	}
	p := c.profile()
	return &state.Seccomp{Program: c.filter.Program, Flags: c.filter.Flags, Notify: c.filter.Notify,
		ListenerPath: p.ListenerPath, ListenerMetadata: p.ListenerMetadata}
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
