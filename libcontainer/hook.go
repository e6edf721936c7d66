package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/hooks"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/nsenter"
)

// Where hooks run (config.md#posix-platform-hooks):
//
//	kind             when                                namespaces  path looked up in
//	prestart         after the mounts, before the pivot  runtime     runtime
//	createRuntime    after prestart                      runtime     runtime
//	createContainer  after createRuntime                 container   runtime
//	startContainer   before the program is executed      container   container
//	poststart        after the program was executed      runtime     runtime
//	poststop         after the container was deleted     runtime     runtime

// hooksOf returns the record's hooks of a kind.
func hooksOf(rec *state.Record, kind string) ([]specs.Hook, error) {
	h, err := rec.Hooks()
	if err != nil || h == nil {
		return nil, err
	}
	switch kind {
	case hooks.Prestart:
		return h.Prestart, nil //nolint:staticcheck // deprecated, and yet part of the specification
	case hooks.CreateRuntime:
		return h.CreateRuntime, nil
	case hooks.CreateContainer:
		return h.CreateContainer, nil
	case hooks.StartContainer:
		return h.StartContainer, nil
	case hooks.Poststart:
		return h.Poststart, nil
	case hooks.Poststop:
		return h.Poststop, nil
	}
	return nil, fmt.Errorf("hooks.%s: no such kind of hooks", kind)
}

// stateForHooks is what a hook reads from its standard input. pid is the number of the container's process where the hook runs.
func stateForHooks(rec *state.Record, status specs.ContainerState, pid int) ([]byte, error) {
	s := specs.State{
		Version:     rec.OCIVersion,
		ID:          rec.ID,
		Status:      status,
		Pid:         pid,
		Bundle:      rec.Bundle,
		Annotations: rec.Annotations,
	}
	return json.Marshal(s)
}

// runHostHooks runs hooks in the runtime's namespaces, until something stops them.
func runHostHooks(kind string, rec *state.Record, status specs.ContainerState, stops []hooks.Stop) error {
	list, err := hooksOf(rec, kind)
	if err != nil || len(list) == 0 {
		return err
	}
	s, err := stateForHooks(rec, status, rec.Pid)
	if err != nil {
		return err
	}
	return hooks.Run(kind, list, s, hooks.Host(rec.Bundle), stops...)
}

// runStartHooks runs the startContainer hooks, with the credentials of the container's process.
func runStartHooks(rec *state.Record, container *os.File, stops []hooks.Stop) error {
	p, err := rec.Process()
	if err != nil {
		return err
	}
	return runContainerHooks(hooks.StartContainer, rec, specs.StateCreated, container, p, stops)
}

// runContainerHooks runs hooks in the namespaces of the container whose first process is given. as lends them its credentials; nil leaves
// them the runtime's.
func runContainerHooks(kind string, rec *state.Record, status specs.ContainerState, container *os.File, as *specs.Process, stops []hooks.Stop) error {
	list, err := hooksOf(rec, kind)
	if err != nil || len(list) == 0 {
		return err
	}
	pid, err := innerPid(rec.Pid)
	if err != nil {
		return err
	}
	s, err := stateForHooks(rec, status, pid)
	if err != nil {
		return err
	}
	facts, err := processFacts(nil)
	if err != nil {
		return err
	}
	join, err := joinOf(rec)
	if err != nil {
		return err
	}
	if facts.UserFacts, err = joinUserFacts(join, rec.Pid, nil); err != nil {
		return err
	}
	return hooks.Run(kind, list, s, func(h specs.Hook, stdin, stdout, stderr *os.File) (hooks.Process, error) {
		plan, err := setup.Hook(h, as, join, facts)
		if err != nil {
			return hooks.Process{}, err
		}
		named, release, err := joinFiles(join, rec.Pid, container)
		if err != nil {
			return hooks.Process{}, err
		}
		defer release()
		return startHook(plan, Streams{Stdin: stdin, Stdout: stdout, Stderr: stderr}, named, stops)
	}, stops...)
}

// runPoststartHooks runs the poststart hooks, until the container is deleted. That its program has ended is no reason to stop them.
func runPoststartHooks(dir *state.Dir, rec *state.Record) error {
	list, err := hooksOf(rec, hooks.Poststart)
	if err != nil || len(list) == 0 {
		return err
	}
	var stops []hooks.Stop
	removed, err := dir.WatchRemoval()
	switch {
	case err == nil:
		defer removed.Close()
		stops = append(stops, hooks.Stop{File: removed, Err: ErrDeleted})
	case errors.Is(err, ErrNotExist):
		return ErrDeleted
	case !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENOSPC): // limits of inotify, which are no reason to fail
		return err
	}
	return runHostHooks(hooks.Poststart, rec, specs.StateRunning, stops)
}

// startHook starts a hook's process and returns when it has executed the hook.
func startHook(plan *setup.Plan, s Streams, named []nsenter.NamedFile, stops []hooks.Stop) (hooks.Process, error) {
	b, err := conceive(plan, s)
	if err != nil {
		return hooks.Process{}, err
	}
	b.stops = stops
	err = b.prepare(named...)
	if err == nil {
		err = b.start(-1)
	}
	if err == nil {
		err = b.converse(0)
	}
	if err == nil {
		err = b.reapFirst()
	}
	if err != nil {
		return hooks.Process{}, errors.Join(err, b.abort())
	}
	b.release()
	return hooks.Process{Pid: b.proc.Pid, Pidfd: b.proc.Pidfd}, nil
}

// poststop runs the poststop hooks. Their failure is only warned about, as the specification demands.
func poststop(r *Runtime, rec *state.Record) {
	list, err := hooksOf(rec, hooks.Poststop)
	if err != nil {
		r.warn(err.Error())
	}
	if len(list) == 0 {
		return
	}
	s, err := stateForHooks(rec, specs.StateStopped, 0)
	if err != nil {
		r.warn(err.Error())
		return
	}
	for _, err := range hooks.RunAll(hooks.Poststop, list, s, hooks.Host(rec.Bundle)) {
		r.warn(err.Error())
	}
}

// innerPid returns a process's number in its own PID namespace.
func innerPid(pid int) (int, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(rest)
			return strconv.Atoi(fields[len(fields)-1])
		}
	}
	return 0, fmt.Errorf("/proc/%d/status: no NSpid", pid)
}
