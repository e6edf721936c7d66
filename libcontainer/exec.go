package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/hooks"
	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/placement"
	"github.com/orlop/orlop/libcontainer/internal/resource"
	"github.com/orlop/orlop/libcontainer/internal/seccompfilter"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// Exec starts another process in a container that was created and has not stopped. p is the
// process's whole configuration: it inherits nothing of the container's (see Config). The process
// is a child of the calling program and has executed its program when Exec returns.
//
// The error is ErrNotRunning when the container has stopped, and ErrPaused when it is paused,
// unless o.IgnorePaused is set.
func (c *Container) Exec(p *specs.Process, o ExecOptions) (*Process, error) {
	if err := specconv.ValidateProcess(p); err != nil {
		return nil, err
	}
	// Without the lock: an exec that comes too late finds the container's process or its cgroup
	// gone, and fails.
	v, err := c.view(unlocked)
	if err != nil {
		return nil, err
	}
	defer v.close()
	creating, err := v.dir.Creating()
	if err == nil && creating {
		err = errCreating
	}
	if err != nil {
		return nil, c.wrap(err)
	}
	process, err := v.exec(c.runtime, p, o, c.runtime.stops())
	c.runtime.takeInterrupt(err)
	if err != nil {
		return nil, c.wrap(err)
	}
	return process, nil
}

// exec starts the process. If the limit of processes refuses it, it tries a second one that enters
// the cgroup in another way.
func (v *view) exec(r *Runtime, p *specs.Process, o ExecOptions, stops []hooks.Stop) (*Process, error) {
	process, err := v.execOnce(r, p, o, stops, false)
	if errors.Is(err, cgroups.ErrFull) {
		if v.traced() {
			return nil, err
		}
		o.BeforeStart = nil // it has been called
		process, err = v.execOnce(r, p, o, stops, true)
	}
	return process, err
}

// traced reports whether a process of the container may trace one that enters its PID namespace.
// Such a process must never be outside of the container's cgroup, because a tracer could use it to
// exceed the limit of processes, and on cgroup2 all limits.
func (v *view) traced() bool {
	if v.rec.Joined(specs.PIDNamespace) {
		return true // others may be in there
	}
	if _, ok := v.rec.Namespace(specs.UserNamespace); ok || v.rec.Process == nil {
		return false // in a user namespace the kernel keeps the container from what was executed outside
	}
	sets, _ := specconv.ParseCapabilities(v.rec.Process.Capabilities)
	return sets.Bounding&(1<<unix.CAP_SYS_PTRACE) != 0
}

// execOnce starts the process. full says that the limit of processes has refused one: see
// cgroups.Manager.Entry.
func (v *view) execOnce(r *Runtime, p *specs.Process, o ExecOptions, stops []hooks.Stop, full bool) (*Process, error) {
	if v.incomplete || v.rec.Status == specs.StateCreating {
		return nil, ErrNotRunning
	}
	container, err := v.pidfd()
	if err != nil {
		return nil, err
	}
	defer container.Close()
	join, err := joinOf(v.rec)
	if err != nil {
		return nil, err
	}
	named, release, err := joinFiles(join, v.rec.Pid, container)
	if err != nil {
		return nil, err
	}
	defer release()
	rights, err := host.ReadRights()
	if err != nil {
		return nil, err
	}
	facts, err := host.ProcessFacts(rights, p)
	if err != nil {
		return nil, err
	}
	facts.TimerSlack = r.TimerSlack
	if facts.UserFacts, err = host.JoinUserFacts(rights, join, v.rec.Pid, p); err != nil {
		return nil, err
	}
	// What was read by PID is the container's if the PID has not been reused meanwhile.
	if (join.Chroot || join.Namespaces&unix.CLONE_NEWUSER != 0) && sys.Readable(container) {
		return nil, ErrNotRunning
	}
	var users *setup.IDMap
	if join.Namespaces&unix.CLONE_NEWUSER != 0 {
		users = facts.Users
	}
	var relayed [3]bool
	facts.Streams, relayed = host.StreamFacts(p, o.Streams.standard(), users)
	facts.Seccomp = seccompfilter.Recorded(v.rec)
	groups, releaseGroups, err := resource.OpenResctrl(v.rec)
	if err != nil {
		return nil, err
	}
	defer releaseGroups()
	named = append(named, groups...)
	options := setup.Options{Hook: o.hook, Keyring: v.rec.Keyring, Inherit: len(o.Files), PlainLines: o.PlainLines}
	for _, g := range groups {
		options.JoinRDT = append(options.JoinRDT, nsenter.FD(g.Name))
	}
	entrance, err := v.placement().Enter(placement.Entering{Subs: o.Cgroups, IgnorePaused: o.IgnorePaused, Full: full}, &options)
	if err != nil {
		return nil, err
	}
	plan, err := setup.Exec(p, join, options, facts)
	if err != nil {
		return nil, err
	}
	status := specs.ContainerState(specs.StateRunning)
	if o.hook != nil {
		status = specs.StateCreated
	}
	e := &execution{options: o, entrance: entrance}
	if a := p.ExecCPUAffinity; a != nil {
		e.cpus = a.Initial
	}
	c := launch.Config{
		Streams:        o.Streams.launch(relayed),
		Deferred:       entrance.Deferred,
		DeferredInside: entrance.Inside,
		Stops:          append(slices.Clone(stops), hooks.Stop{File: container, Err: launch.ErrEnded}),
		Patient:        entrance.Frozen,
	}
	c.Listener = func(listener *os.File) error {
		return seccompfilter.HandListener(v.rec, status, e.process.Pid(), listener)
	}
	c.EnterCgroup = entrance.EnterCgroup
	if e.process, err = launch.New(plan, c); err != nil {
		return nil, err
	}
	process, err := e.join(named)
	if err != nil {
		return nil, errors.Join(v.whyNot(err), e.process.Abort())
	}
	e.process.Release()
	return process, nil
}

// whyNot explains an error that is due to the end of the container meanwhile.
func (v *view) whyNot(err error) error {
	if errors.Is(err, launch.ErrEnded) {
		return fmt.Errorf("%w: its process has ended meanwhile", ErrNotRunning)
	}
	return err
}

// An execution is a process that joins a container.
type execution struct {
	process  *launch.Process
	options  ExecOptions
	entrance *placement.Entrance
	cpus     string // the processors that it is forked on, "" for the runtime's
}

// join starts the process in the container's place, and serves it until it has executed its
// program.
func (e *execution) join(named []nsenter.NamedFile) (*Process, error) {
	if err := e.process.Prepare(named...); err != nil {
		return nil, err
	}
	if err := e.process.OpenDeferred(); err != nil {
		return nil, err
	}
	if err := e.options.beforeStart(); err != nil {
		return nil, err
	}
	if err := e.start(); err != nil {
		return nil, err
	}
	if err := e.process.Converse(0); err != nil {
		return nil, e.entrance.Explain(err)
	}
	if err := e.process.ReapFirst(); err != nil {
		return nil, err
	}
	if err := e.options.handOver(e.process, console.PidfdExec); err != nil {
		return nil, err
	}
	return &Process{e.process.Finish()}, nil
}

// start starts the process.
func (e *execution) start() error {
	start := func() error { return e.entrance.Start(e.process.Start) }
	if e.cpus == "" {
		return start()
	}
	// The process gets these processors before it joins the container's cgroup, which may have
	// others.
	f := forker.Start(-1)
	defer f.End()
	err := <-f.SetAffinity(specconv.RangeMask(e.cpus))
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w (none of these processors is online and the runtime's to use)", err)
	}
	if err != nil {
		return &specconv.FieldError{Path: "process.execCPUAffinity.initial",
			Err: fmt.Errorf("set affinity to processors %s: sched_setaffinity: %w", e.cpus, err)}
	}
	return <-f.Do(start)
}

// joinOf returns how a process joins the container: its namespaces, and what all of its processes
// have.
func joinOf(rec *state.Record) (setup.Join, error) {
	var j setup.Join
	for _, n := range rec.Namespaces {
		flag, ok := specconv.NamespaceFlag(n.Type)
		if !ok {
			return j, fmt.Errorf("state record: unknown namespace type %q", n.Type)
		}
		j.Namespaces |= flag
	}
	j.Chroot = j.Namespaces&unix.CLONE_NEWNS == 0
	j.Personality, j.MemoryPolicy = rec.Personality, rec.MemoryPolicy
	return j, nil
}

// joinFiles opens the file descriptors for a joining process. The caller releases them when the
// process has them.
func joinFiles(j setup.Join, pid int, container *os.File) (named []nsenter.NamedFile, release func(), err error) {
	named = []nsenter.NamedFile{{Name: string(setup.PidfdOfContainer), File: container}}
	if !j.Chroot {
		return named, func() {}, nil
	}
	root, err := rootOf(pid)
	if err != nil {
		return nil, nil, err
	}
	return append(named, nsenter.NamedFile{Name: string(setup.RootOfContainer), File: root}), func() { root.Close() }, nil
}

// rootOf opens the root directory of a process.
func rootOf(pid int) (*os.File, error) {
	return sys.Open("/proc/"+strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY)
}
