package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/libcontainer/hooks"
	"github.com/orlop/orlop/libcontainer/intelrdt"
	"github.com/orlop/orlop/libcontainer/internal/forker"
	"github.com/orlop/orlop/libcontainer/internal/host"
	"github.com/orlop/orlop/libcontainer/internal/launch"
	"github.com/orlop/orlop/libcontainer/internal/placement"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// Create makes the container that the bundle describes, up to but not including the exec of its program, for which
// its first process waits until Start. That process is a child of the calling program.
//
// The caller must be root in the initial user namespace. A create that fails leaves nothing behind. The error is ErrExist when the id is
// taken, and ErrInvalidID when it cannot be one.
func (r *Runtime) Create(id string, b *specconv.Bundle, o CreateOptions) (*Container, error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o}
	return c.run()
}

// Run is Create and Start in one, and quicker than the two.
func (r *Runtime) Run(id string, b *specconv.Bundle, o CreateOptions) (*Container, error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o, direct: true}
	return c.run()
}

// Plan returns the steps that the first process of the container would take, without making anything. It needs no privilege.
func (r *Runtime) Plan(id string, b *specconv.Bundle, o CreateOptions) (*setup.Plan, error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o, keyring: "_ses." + id}
	var err error
	if c.rights, err = host.ReadRights(); err != nil {
		return nil, err
	}
	c.compileSeccomp()
	if err := c.choosePlace(true); err != nil {
		return nil, err
	}
	defer c.place.Close()
	if err := c.plan(); err != nil {
		return nil, err
	}
	return c.steps, c.steps.Verify()
}

// A creation is a container that is being made. What it has made so far is in its fields, so that it can be undone.
type creation struct {
	runtime *Runtime
	id      string
	bundle  *specconv.Bundle
	options CreateOptions
	direct  bool // run: no wait for start

	rights  host.Rights
	forker  *forker.Forker
	place   placement.Creation // nil until it is chosen
	tasks   []launch.Deferred
	keyring string // name of the container's session keyring
	steps   *setup.Plan
	relayed [3]bool // outputs that are copied from a pipe
	dir     *state.Dir
	rec     *state.Record
	process *launch.Process
	socket  *os.File        // the start socket, until the process has it
	rdt     *intelrdt.Group // nil without linux.intelRdt
	lending *lending        // network devices that are on their way into the container
	filter  *seccompFilter
	shares  bool // it gets a socket by which it can say that it is ready
	ready   *readiness
	lived   bool // the environment was complete enough for hooks to have run in it
}

// run does the work, and undoes it when it fails.
func (c *creation) run() (*Container, error) {
	container, err := c.create()
	if c.socket != nil {
		c.socket.Close()
	}
	if c.place != nil {
		defer c.place.Close()
	}
	defer c.lending.close()
	if err == nil {
		return container, nil
	}
	c.runtime.takeInterrupt(err)
	if c.ready != nil {
		c.ready.close()
	}
	if c.dir != nil && c.dir.Doomed() {
		err = fmt.Errorf("%w: %w", ErrDeleted, err)
	}
	return nil, errors.Join(fmt.Errorf("container %q: %w", c.id, err), c.undo())
}

func (c *creation) create() (*Container, error) {
	if err := specconv.ValidateID(c.id); err != nil {
		return nil, err
	}
	var err error
	if c.rights, err = host.ReadRights(); err != nil {
		return nil, err
	}
	if err := c.rights.CheckNamespaces(c.bundle); err != nil {
		return nil, err
	}
	c.options.Streams.pidfdReceiver = c.bundle.Spec.Annotations[specconv.PidfdReceiver]
	c.forker = forker.Start(forker.CurrentCPU()) // first of all, since its work takes longest
	c.forker.Unshare(inheritedNamespaces(c.bundle))
	c.compileSeccomp()
	err = c.makeProcess()
	c.forker.End()
	if err != nil {
		return nil, err
	}
	if err := c.options.beforeStart(); err != nil {
		return nil, err
	}
	if err := c.register(); err != nil {
		return nil, err
	}
	if err := c.release(); err != nil {
		return nil, err
	}
	c.process.Release()
	c.warnings()
	container := &Container{runtime: c.runtime, id: c.id, process: &Process{c.process.Finish()}, ready: c.ready}
	return container, c.dir.Close()
}

// release waits until the process is set up, and lets it go on: to wait for start, or in a run to its program. If nothing is left to do
// before that, the process of a run is released before it asks, and does not wait for the runtime. That takes 0.15 ms where a processor
// has to wake up for it.
func (c *creation) release() error {
	before := c.beforeProgram()
	early := c.direct && len(before) == 0
	if early {
		if err := c.process.Unblock(); err != nil {
			return err
		}
	}
	if err := c.process.Converse(setup.MessageReady); err != nil {
		return err
	}
	for _, do := range before {
		if err := do(); err != nil {
			return err
		}
	}
	c.lived = true
	if err := c.process.ReapFirst(); err != nil {
		return err
	}
	if !c.direct {
		return c.process.Resume()
	}
	if !early {
		if err := c.process.Unblock(); err != nil {
			return err
		}
	}
	if err := c.process.Converse(0); err != nil {
		return err
	}
	c.lending.done()
	// The container runs, and can be used and deleted by others.
	if err := c.dir.Created(); err != nil {
		return err
	}
	return c.runtime.runPoststartHooks(c.dir, c.rec, c.runtime.stops())
}

// beforeProgram lists what must be done when the process is set up, and before its program may run.
func (c *creation) beforeProgram() (list []func() error) {
	if c.steps.ClonesLast() { // the process that will execute the program is there only now
		list = append(list, c.process.ReapFirst)
	}
	list = append(list, c.place.BeforeProgram(c.rec, func() error { return c.dir.Write(c.rec) })...)
	if c.options.handsOver() {
		list = append(list, func() error { return c.options.handOver(c.process, console.PidfdCreate) })
	}
	if c.ready != nil {
		list = append(list, func() error { return c.ready.of(c.process.Pid(), c.process.Pidfd()) })
	}
	if len(c.bundle.NetDevices) > 0 {
		list = append(list, c.lent)
	}
	if c.direct && len(specconv.HooksOf(c.bundle.Spec.Hooks, hooks.StartContainer)) > 0 {
		list = append(list, func() error {
			c.lived = true
			return c.runtime.runStartHooks(c.rec, c.dir, c.runtime.stopsAtEnd(c.process.Pidfd()))
		})
	}
	return list
}

// inheritedNamespaces returns the namespaces that the forker enters for the process: new ones of the types that take long to make, if the
// runtime's own user namespace owns them.
func inheritedNamespaces(b *specconv.Bundle) (flags uintptr) {
	if _, ok := b.Namespace(specs.UserNamespace); ok {
		return 0
	}
	for _, t := range [...]specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace} {
		if n, ok := b.Namespace(t); ok && n.Path == "" {
			flag, _ := specconv.NamespaceFlag(t)
			flags |= flag
		}
	}
	return flags
}

// choosePlace chooses where the container's processes are to live. With dry nobody is asked.
func (c *creation) choosePlace(dry bool) (err error) {
	c.place, err = placement.New(placement.Config{
		Manager: string(c.runtime.CgroupManager), ID: c.id, Bundle: c.bundle,
		Rootless: c.runtime.rootless(c.rights), Dry: dry, Warn: c.runtime.warn,
	})
	return err
}

// plan works out what the process is to do.
func (c *creation) plan() error {
	facts, err := host.Facts(c.rights, c.bundle)
	if err != nil {
		return err
	}
	facts.Cgroup = c.place.Facts()
	facts.Streams, c.relayed = host.StreamFacts(c.bundle.Spec.Process, c.options.Streams.standard(), setup.UserNamespace(c.bundle, &facts))
	facts.TimerSlack = c.runtime.TimerSlack
	if facts.Seccomp, err = c.seccompFacts(); err != nil {
		return err
	}
	share := c.share()
	c.shares = share != nil
	o := setup.Options{
		Keyring:      c.keyring,
		StartSocket:  !c.direct,
		NoPivot:      c.options.NoPivot,
		NoNewKeyring: c.options.NoNewKeyring,
		Inherit:      len(c.options.Files),
		PlainLines:   c.options.PlainLines,
		Share:        share,
		PidVariable:  c.options.PidVariable,
	}
	c.tasks = c.place.Join(&o)
	c.steps, err = setup.Container(c.bundle, o, facts)
	return err
}

// makeProcess makes all that the process needs, and the process. The forker makes namespaces meanwhile, and the cgroup if the process needs
// it first, which takes about as long as the plan and the image: a third thread was tried, and is no gain.
func (c *creation) makeProcess() error {
	if err := c.choosePlace(false); err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	c.place.Begin(c.forker)
	for _, do := range []func() error{c.plan, c.makeRDT, c.bindHostRoot, c.prepare} {
		if err := do(); err != nil {
			return err
		}
	}
	return c.place.Start(c.forker, c.process)
}

// reserve takes the id. From here on the record tells delete what to look for, should this program be killed.
func (c *creation) reserve() (err error) {
	if c.dir, err = state.Open(c.runtime.Root).Create(c.id); err != nil {
		return err
	}
	if !c.options.NoNewKeyring {
		if c.keyring, err = newKeyringName(c.id); err != nil {
			return err
		}
	}
	spec := c.bundle.Spec
	c.rec = &state.Record{
		ID:          c.id,
		OCIVersion:  specs.Version,
		Status:      specs.StateCreating,
		Bundle:      c.bundle.Dir,
		Rootfs:      c.bundle.Rootfs,
		Created:     time.Now().UTC(),
		Owner:       os.Geteuid(),
		Terminal:    spec.Process != nil && spec.Process.Terminal,
		Annotations: spec.Annotations,
		Keyring:     c.keyring,
	}
	c.place.Record(c.rec, c.dir)
	for _, n := range c.bundle.Namespaces {
		c.rec.Namespaces = append(c.rec.Namespaces, state.Namespace{Type: n.Type, Path: n.Path})
	}
	if err := c.planRDT(); err != nil {
		return err
	}
	return c.dir.Write(c.rec)
}

// prepare makes the process ready to be started.
func (c *creation) prepare() (err error) {
	if err := c.makeNotify(); err != nil {
		return err
	}
	c.process, err = launch.New(c.steps, launch.Config{
		Streams:  c.options.Streams.launch(c.relayed),
		Entered:  c.forker.Namespaces(),
		Deferred: c.tasks,
		Stops:    c.runtime.stops(),
		Handlers: launch.Handlers{
			Hooks:          c.createHooks,
			EnterCgroup:    c.place.EnterCgroup,
			MoveNetDevices: c.lend,
			Listener: func(listener *os.File) error {
				return handListener(c.rec, specs.StateCreating, c.process.Pid(), listener)
			},
			CopyUp:        c.copyUp,
			ChildTookOver: c.registerSecond,
		},
	})
	if err != nil {
		return err
	}
	var extra []nsenter.NamedFile
	if !c.direct {
		// The container's process is to be the only one that holds it, once that is there.
		if c.socket, err = c.dir.Listen(); err != nil {
			return err
		}
		extra = append(extra, nsenter.NamedFile{Name: string(setup.StartSocket), File: c.socket})
	}
	return c.process.Prepare(extra...)
}

// register completes the record, while the process does its part. Who wants to delete the container knows from then on what to kill. Should this program be killed, the process ends at its next
// rendezvous, and the container has stopped.
func (c *creation) register() error {
	proc, err := sys.Stat(c.process.Pid())
	if err != nil {
		return err
	}
	if err := c.joinRDT(); err != nil {
		return err
	}
	c.rec.Hooks, c.rec.Process, c.rec.Seccomp = c.bundle.Spec.Hooks, c.bundle.Spec.Process, c.seccompRecord()
	if l := c.bundle.Spec.Linux; l != nil {
		c.rec.Personality, c.rec.MemoryPolicy = l.Personality, l.MemoryPolicy
	}
	if err := c.place.RecordFound(c.rec); err != nil {
		return err
	}
	c.rec.Pid, c.rec.StartTime = c.process.Pid(), proc.StartTime
	c.rec.Status = specs.StateCreated
	if !c.direct {
		for _, r := range c.process.Remaining() {
			c.rec.Remaining = append(c.rec.Remaining, state.Operation(r))
		}
	}
	if err := c.dir.Write(c.rec); err != nil {
		return err
	}
	return c.dir.Unlock()
}

// registerSecond records the process that has taken the place of the first one, before anything is asked of it: others may have stopped it. Who
// deletes the container meanwhile has killed the one that was recorded before.
func (c *creation) registerSecond() error {
	if err := c.place.Tighten(); err != nil {
		return err
	}
	proc, err := sys.Stat(c.process.Pid())
	if err != nil {
		return err
	}
	if err := c.dir.LockSame(lockLimit); err != nil {
		return err
	}
	c.rec.Pid, c.rec.StartTime = c.process.Pid(), proc.StartTime
	if err := c.dir.Write(c.rec); err != nil {
		return err
	}
	if c.dir.Doomed() {
		return errEnded
	}
	return c.dir.Unlock()
}

// createHooks runs the hooks that belong between the mounts and the change of the root.
func (c *creation) createHooks() error {
	if err := c.place.Complete(c.process.Pid()); err != nil {
		return err
	}
	c.lived = true
	// The specification's text fits both states: the environment has been made (created is "after step 2 in the lifecycle"), and the create
	// operation has not finished. Prestart hooks were written for a time when they came with start, and so for a created container.
	stops := c.runtime.stopsAtEnd(c.process.Pidfd())
	if err := c.runtime.runHostHooks(hooks.Prestart, c.rec, specs.StateCreated, stops); err != nil {
		return err
	}
	if err := c.runtime.runHostHooks(hooks.CreateRuntime, c.rec, specs.StateCreating, stops); err != nil {
		return err
	}
	return c.runtime.runCreateHooks(c.rec, c.process.Pidfd(), stops)
}

func (c *creation) warnings() {
	for _, w := range slices.Concat(c.bundle.Warnings, c.steps.Warnings) {
		c.runtime.warn(w)
	}
	for _, n := range slices.Concat(c.bundle.Notes, c.steps.Notes, c.place.Notes()) {
		c.runtime.note(n)
	}
}

// undo removes what a failed creation has made, in the reverse order.
func (c *creation) undo() error {
	var errs []error
	errs = append(errs, c.lending.undo()) // before the process ends, and its network namespace with it
	if c.process != nil {
		errs = append(errs, c.process.Abort())
	}
	if c.dir == nil { // the id is taken by another, or was never asked for: then nothing else was made
		return errors.Join(errs...)
	}
	defer c.dir.Close()
	// A container whose program runs can have been deleted by others, and all that is left is another one of its id.
	err := c.dir.LockSame(lockLimit)
	if errors.Is(err, ErrNotExist) {
		return errors.Join(append(errs, ErrDeleted)...)
	}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, c.place.Undo(), c.removeRDT(), unbindHostRoot(c.bundle.Rootfs, c.rec.RootMount), c.dir.Remove())
	if c.lived {
		c.runtime.poststop(c.rec)
	}
	return errors.Join(errs...)
}
