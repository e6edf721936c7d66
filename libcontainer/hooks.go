package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

// Where hooks run (config.md#posix-platform-hooks):
//
//	kind             when                                namespaces  path looked up in  rights and environment of
//	prestart         after the mounts, before the pivot  runtime     runtime            runtime
//	createRuntime    after prestart                      runtime     runtime            runtime
//	createContainer  after createRuntime                 container   runtime            runtime
//	startContainer   before the program is executed      container   container          container's process
//	poststart        after the program was executed      runtime     runtime            runtime
//	poststop         after the container was deleted     runtime     runtime            runtime
//
// All but startContainer hooks begin in the bundle's directory: the specification names none, and
// what it says of paths makes them programs of the host.

// stateForHooks is what a hook reads from its standard input. pid is the PID of the container's
// process where the hook runs.
func stateForHooks(rec *state.Record, status specs.ContainerState, pid int) []byte {
	e := codec.Encoder{}
	codec.EncodeState(&e, &specs.State{
		Version:     rec.OCIVersion,
		ID:          rec.ID,
		Status:      status,
		Pid:         pid,
		Bundle:      rec.Bundle,
		Annotations: rec.Annotations,
	})
	return e.Buf
}

// runHostHooks runs hooks in the runtime's namespaces, until something stops them.
func (r *Runtime) runHostHooks(kind string, rec *state.Record, status specs.ContainerState, stops []hooks.Stop) error {
	list := specconv.HooksOf(rec.Hooks, kind)
	if len(list) == 0 {
		return nil
	}
	return hooks.Run(kind, list, stateForHooks(rec, status, rec.Pid), redirected(rec, hooks.Host(rec.Bundle, r.TimerSlack)), stops...)
}

// redirected returns a starter of hooks whose output goes to the files that annotations name.
func redirected(rec *state.Record, start hooks.Starter) hooks.Starter {
	stdoutPath := specconv.HookOutput(rec.Annotations, specconv.HooksStdout, rec.Bundle)
	stderrPath := specconv.HookOutput(rec.Annotations, specconv.HooksStderr, rec.Bundle)
	if stdoutPath == "" && stderrPath == "" {
		return start
	}
	return func(h specs.Hook, stdin, stdout, stderr *os.File) (hooks.Process, error) {
		for _, o := range [...]struct {
			name, path string
			file       **os.File
		}{{specconv.HooksStdout, stdoutPath, &stdout}, {specconv.HooksStderr, stderrPath, &stderr}} {
			if o.path == "" {
				continue
			}
			f, err := appendTo(o.path)
			if err != nil {
				return hooks.Process{}, fmt.Errorf("annotation %s: %w", o.name, err)
			}
			defer f.Close()
			*o.file = f
		}
		return start(h, stdin, stdout, stderr)
	}
}

// appendTo opens a file for appending. A pipe without a reader is an error; it does not wait for
// one.
func appendTo(path string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK, 0o600)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// runStartHooks runs the startContainer hooks. Their programs come from the image, so each gets all
// that the container's process gets: cgroup, limits, credentials, labels and filter.
func (r *Runtime) runStartHooks(rec *state.Record, dir *state.Dir, stops []hooks.Stop) error {
	list, s, err := containerHooks(hooks.StartContainer, rec, specs.StateCreated)
	if err != nil || len(list) == 0 {
		return err
	}
	p := rec.Process
	if p == nil {
		p = &specs.Process{Cwd: "/"} // the container will not start
	}
	v := &view{dir: dir, rec: rec}
	return hooks.Run(hooks.StartContainer, list, s, redirected(rec, func(h specs.Hook, stdin, stdout, stderr *os.File) (hooks.Process, error) {
		o := ExecOptions{Streams: Streams{Stdin: stdin, Stdout: stdout, Stderr: stderr, keepOwner: true}, hook: &h}
		process, err := v.exec(r, setup.HookProcess(&h, p), o, stops)
		if err != nil {
			return hooks.Process{}, err
		}
		return hooks.Process{Pid: process.Pid(), Pidfd: process.Pidfd()}, nil
	}), stops...)
}

// containerHooks returns the record's hooks of a kind that runs in the container, and what they
// read.
func containerHooks(kind string, rec *state.Record, status specs.ContainerState) ([]specs.Hook, []byte, error) {
	list := specconv.HooksOf(rec.Hooks, kind)
	if len(list) == 0 {
		return nil, nil, nil
	}
	pid, err := sys.InnerPid(rec.Pid)
	if err != nil {
		return nil, nil, err
	}
	return list, stateForHooks(rec, status, pid), nil
}

// runCreateHooks runs the createContainer hooks, in the namespaces of the container whose first
// process is given, with the runtime's rights.
func (r *Runtime) runCreateHooks(rec *state.Record, container *os.File, stops []hooks.Stop) error {
	list, s, err := containerHooks(hooks.CreateContainer, rec, specs.StateCreating)
	if err != nil || len(list) == 0 {
		return err
	}
	rights, err := host.ReadRights()
	if err != nil {
		return err
	}
	facts, err := host.ProcessFacts(rights, nil)
	if err != nil {
		return err
	}
	facts.TimerSlack = r.TimerSlack
	if facts.Umask, err = sys.Umask(); err != nil {
		return err
	}
	join, err := joinOf(rec)
	if err != nil {
		return err
	}
	if rec.Joined(specs.PIDNamespace) {
		// The container's process is in it already, or is about to enter it: see
		// setup.Plan.ClonesLast.
		join.Namespaces &^= unix.CLONE_NEWPID
		join.PIDNamespace = "/proc/" + strconv.Itoa(rec.Pid) + "/ns/pid_for_children"
	}
	if facts.UserFacts, err = host.JoinUserFacts(rights, join, rec.Pid, nil); err != nil {
		return err
	}
	return hooks.Run(hooks.CreateContainer, list, s, redirected(rec, func(h specs.Hook, stdin, stdout, stderr *os.File) (hooks.Process, error) {
		plan, err := setup.Hook(hooks.Complete(h), rec.Bundle, join, facts)
		if err != nil {
			return hooks.Process{}, err
		}
		named, release, err := joinFiles(join, rec.Pid, container)
		if err != nil {
			return hooks.Process{}, err
		}
		defer release()
		return startHook(plan, launch.Streams{Stdin: stdin, Stdout: stdout, Stderr: stderr}, named, stops)
	}), stops...)
}

// runPoststartHooks runs the poststart hooks until something stops them or the container is
// deleted. The end of its program does not stop them.
func (r *Runtime) runPoststartHooks(dir *state.Dir, rec *state.Record, stops []hooks.Stop) error {
	if len(specconv.HooksOf(rec.Hooks, hooks.Poststart)) == 0 {
		return nil
	}
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
	return r.runHostHooks(hooks.Poststart, rec, specs.StateRunning, stops)
}

// startHook starts a hook's process and returns when it has executed the hook.
func startHook(plan *setup.Plan, s launch.Streams, named []nsenter.NamedFile, stops []hooks.Stop) (hooks.Process, error) {
	p, err := launch.New(plan, launch.Config{Streams: s, Stops: stops})
	if err != nil {
		return hooks.Process{}, err
	}
	err = p.Prepare(named...)
	if err == nil {
		err = p.Start(-1)
	}
	if err == nil {
		err = p.Converse(0)
	}
	if err == nil {
		err = p.ReapFirst()
	}
	if err != nil {
		return hooks.Process{}, errors.Join(err, p.Abort())
	}
	p.Release()
	return hooks.Process{Pid: p.Pid(), Pidfd: p.Pidfd()}, nil
}

// poststop runs the poststop hooks. Their failure is only a warning, as the specification demands.
func (r *Runtime) poststop(rec *state.Record) {
	list := specconv.HooksOf(rec.Hooks, hooks.Poststop)
	if len(list) == 0 {
		return
	}
	for _, err := range hooks.RunAll(hooks.Poststop, list, stateForHooks(rec, specs.StateStopped, 0), redirected(rec, hooks.Host(rec.Bundle, r.TimerSlack)), r.stops()...) {
		r.warn(err.Error())
	}
}
