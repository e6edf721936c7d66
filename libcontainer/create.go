package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

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

// Create makes the container that the bundle describes, up to but not including the exec of its
// program, for which its first process waits until Start. That process is a child of the calling
// program.
//
// The caller must be root in the initial user namespace. A create that fails leaves nothing behind.
// The error is ErrExist when the id is taken, and ErrInvalidID when it cannot be one.
func (r *Runtime) Create(id string, b *specconv.Bundle, o CreateOptions) (*Container, error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o}
	return c.run()
}

// Run is Create and Start in one, and quicker than the two.
func (r *Runtime) Run(id string, b *specconv.Bundle, o CreateOptions) (*Container, error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o, direct: true}
	return c.run()
}

// Plan returns the steps that the first process of the container would take, without making
// anything. It needs no privilege.
func (r *Runtime) Plan(id string, b *specconv.Bundle, o CreateOptions) (_ *setup.Plan, err error) {
	c := &creation{runtime: r, id: id, bundle: b, options: o, keyring: "_ses." + id}
	if c.rights, err = host.ReadRights(); err != nil {
		return nil, err
	}
	c.filter = seccompfilter.Compile(b, r.SeccompCache)
	c.planResources()
	defer c.close()
	if err := c.choosePlace(true); err != nil {
		return nil, err
	}
	if _, _, err := c.plan(); err != nil {
		return nil, err
	}
	return c.steps, c.steps.Verify()
}

// A creation is a container that is being created.
type creation struct {
	runtime *Runtime
	id      string
	bundle  *specconv.Bundle
	options CreateOptions
	direct  bool // run: no wait for start

	rights  host.Rights
	forker  *forker.Forker
	filter  *seccompfilter.Filter
	keyring string // the name of the container's session keyring
	steps   *setup.Plan
	process *launch.Process

	entry   resource.Entry
	place   placement.Creation
	resctrl *resource.Resctrl
	notify  *resource.NotifySocket
	devices *resource.NetDevices
	// resources are what is made for the container, in the order of Prepare.
	resources resource.List
	hooksRan  bool // hooks may have run: a failure runs the poststop hooks
}

// run creates the container, and undoes that when it fails.
func (c *creation) run() (*Container, error) {
	defer c.close()
	container, err := c.create()
	if err == nil {
		return container, nil
	}
	c.endForker()
	c.runtime.takeInterrupt(err)
	if c.entry.Dir != nil && c.entry.Dir.Doomed() {
		err = fmt.Errorf("%w: %w", ErrDeleted, err)
	}
	return nil, errors.Join(fmt.Errorf("container %q: %w", c.id, err), c.undo())
}

// create takes the steps of "The life of a container" in docs/architecture.md.
func (c *creation) create() (*Container, error) {
	for _, step := range []func() error{
		c.begin,    // the caller's rights; the forker enters namespaces
		c.reserve,  // the id is taken, and the record names what will be made
		c.prepare,  // facts, plan, resources, image
		c.start,    // the process starts, and the record is completed
		c.converse, // the process sets itself up, and the runtime does what it asks for
		c.release,  // the process goes on: to wait for start, or to its program
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.process.Release()
	c.warnings()
	container := &Container{runtime: c.runtime, id: c.id, process: &Process{c.process.Finish()}, ready: c.notify.Ready}
	return container, c.entry.Dir.Close()
}

// begin does the quick checks, and starts what takes longest.
func (c *creation) begin() (err error) {
	if err := specconv.ValidateID(c.id); err != nil {
		return err
	}
	if c.rights, err = host.ReadRights(); err != nil {
		return err
	}
	if err := c.rights.CheckNamespaces(c.bundle); err != nil {
		return err
	}
	c.options.Streams.pidfdReceiver = c.bundle.Spec.Annotations[specconv.PidfdReceiver]
	c.forker = forker.Start(forker.CurrentCPU())
	c.forker.Unshare(inheritedNamespaces(c.bundle))
	c.filter = seccompfilter.Compile(c.bundle, c.runtime.SeccompCache)
	return nil
}

// inheritedNamespaces returns the namespaces that the forker enters for the process: new ones of
// the types that are slow to create, if the runtime's own user namespace owns them.
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

// reserve takes the id. From here on the record tells delete what to look for, should this program
// be killed. The forker makes the cgroup beside the planner, if the process needs it first: a third
// thread was tried, and is no gain.
func (c *creation) reserve() (err error) {
	if err := c.choosePlace(false); err != nil {
		return err
	}
	if !c.options.NoNewKeyring {
		if c.keyring, err = resource.NewKeyringName(c.id); err != nil {
			return err
		}
	}
	if err := c.entry.Take(c.runtime.Root, c.record()); err != nil {
		return err
	}
	c.planResources()
	if err := c.resources.Record(c.entry.Rec); err != nil {
		return err
	}
	if err := c.entry.Write(); err != nil {
		return err
	}
	c.place.Begin(c.forker)
	return nil
}

// choosePlace chooses the placement of the container's processes. With dry it contacts no other
// program.
func (c *creation) choosePlace(dry bool) (err error) {
	c.place, err = placement.New(placement.Config{
		Manager: string(c.runtime.CgroupManager), ID: c.id, Bundle: c.bundle,
		Rootless: c.runtime.rootless(c.rights), Dry: dry, Warn: c.runtime.warn,
	})
	return err
}

// record returns the record of a container of which nothing has been created yet.
func (c *creation) record() *state.Record {
	spec := c.bundle.Spec
	rec := &state.Record{
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
	for _, n := range c.bundle.Namespaces {
		rec.Namespaces = append(rec.Namespaces, state.Namespace{Type: n.Type, Path: n.Path})
	}
	return rec
}

// planResources lists what will be created. Undo goes in reverse order, processes first.
func (c *creation) planResources() {
	var rdt *specs.LinuxIntelRdt
	if c.bundle.Spec.Linux != nil {
		rdt = c.bundle.Spec.Linux.IntelRdt
	}
	c.resctrl = resource.NewResctrl(&c.entry, rdt)
	c.devices = resource.NewNetDevices(&c.entry, c.bundle)
	c.notify = resource.NewNotifySocket(&c.entry, c.bundle, c.options.NotifySocket, c.direct, c.runtime.warn)
	c.resources = resource.List{&c.entry, c.notify, resource.NewHostMounts(&c.entry, c.bundle), c.resctrl, &placeResource{c}}
}

// placeResource is the placement of the container's processes as a resource.
type placeResource struct{ c *creation }

func (p *placeResource) Record(rec *state.Record) error {
	p.c.place.Record(rec, p.c.entry.Dir)
	return nil
}

func (*placeResource) Prepare() error { return nil } // its Begin and Start make it, beside other work

func (p *placeResource) Undo() error { return p.c.place.Undo() }

// prepare plans the setup of the process, and creates what it needs.
func (c *creation) prepare() error {
	tasks, relayed, err := c.plan()
	if err != nil {
		return err
	}
	if err := c.resources.Prepare(); err != nil {
		return err
	}
	c.process, err = launch.New(c.steps, launch.Config{
		Streams:  c.options.Streams.launch(relayed),
		Entered:  c.forker.Namespaces(),
		Deferred: tasks,
		Stops:    c.runtime.stops(),
		Handlers: launch.Handlers{
			Hooks:          c.createHooks,
			EnterCgroup:    c.place.EnterCgroup,
			MoveNetDevices: func() error { return c.devices.Move(c.process.Pid()) },
			Listener: func(listener *os.File) error {
				return seccompfilter.HandListener(c.entry.Rec, specs.StateCreating, c.process.Pid(), listener)
			},
			CopyUp:        c.copyUp,
			ChildTookOver: c.recordChild,
		},
	})
	if err != nil {
		return err
	}
	if c.direct {
		return c.process.Prepare()
	}
	if err := c.entry.Listen(); err != nil {
		return err
	}
	return c.process.Prepare(nsenter.NamedFile{Name: string(setup.StartSocket), File: c.entry.Socket})
}

// plan plans what the process is to do. tasks are the files by which it joins cgroups, relayed the
// outputs that are copied from a pipe.
func (c *creation) plan() (tasks []launch.Deferred, relayed [3]bool, err error) {
	facts, err := host.Facts(c.rights, c.bundle)
	if err != nil {
		return nil, relayed, err
	}
	facts.Cgroup = c.place.Facts()
	facts.Streams, relayed = host.StreamFacts(c.bundle.Spec.Process, c.options.Streams.standard(), setup.UserNamespace(c.bundle, &facts))
	facts.TimerSlack = c.runtime.TimerSlack
	if facts.Seccomp, err = c.filter.Facts(); err != nil {
		return nil, relayed, err
	}
	o := setup.Options{
		Keyring:      c.keyring,
		StartSocket:  !c.direct,
		NoPivot:      c.options.NoPivot,
		NoNewKeyring: c.options.NoNewKeyring,
		Inherit:      len(c.options.Files),
		PlainLines:   c.options.PlainLines,
		Share:        c.notify.Share(c.runtime.Root, c.id),
		PidVariable:  c.options.PidVariable,
	}
	tasks = c.place.Join(&o)
	c.steps, err = setup.Container(c.bundle, o, facts)
	return tasks, relayed, err
}

// start starts the process and completes the record while the process sets itself up: a delete
// knows from then on what to kill. Should this program be killed, the process ends when it next
// waits for an answer, and the container has stopped.
func (c *creation) start() error {
	err := c.place.Start(c.forker, c.process)
	c.endForker()
	if err == nil {
		err = c.options.beforeStart()
	}
	if err == nil {
		err = c.resctrl.Join(c.process.Pid()) // before it starts any other process
	}
	if err != nil {
		return err
	}
	rec := c.entry.Rec
	if err := c.place.RecordFound(rec); err != nil {
		return err
	}
	rec.Hooks, rec.Process, rec.Seccomp = c.bundle.Spec.Hooks, c.bundle.Spec.Process, c.filter.Record()
	if l := c.bundle.Spec.Linux; l != nil {
		rec.Personality, rec.MemoryPolicy = l.Personality, l.MemoryPolicy
	}
	if !c.direct {
		for _, r := range c.process.Remaining() {
			rec.Remaining = append(rec.Remaining, state.Operation(r))
		}
	}
	rec.Status = specs.StateCreated
	if err := c.recordProcess(); err != nil {
		return err
	}
	return c.entry.Dir.Unlock()
}

func (c *creation) recordProcess() error {
	proc, err := sys.Stat(c.process.Pid())
	if err != nil {
		return err
	}
	c.entry.Rec.Pid, c.entry.Rec.StartTime = c.process.Pid(), proc.StartTime
	return c.entry.Write()
}

// recordChild records the process that has replaced the first one before it depends on it: others
// may have stopped it. A delete meanwhile has killed the process that was recorded before.
func (c *creation) recordChild() error {
	if err := c.place.Tighten(); err != nil {
		return err
	}
	if err := c.entry.Dir.LockSame(lockLimit); err != nil {
		return err
	}
	if err := c.recordProcess(); err != nil {
		return err
	}
	if c.entry.Dir.Doomed() {
		return launch.ErrEnded
	}
	return c.entry.Dir.Unlock()
}

// converse serves the process until it is set up.
func (c *creation) converse() error { return c.process.Converse(setup.MessageReady) }

// beforeProgram lists what must be done when the process is set up, and before its program may run.
func (c *creation) beforeProgram() (list []func() error) {
	if c.steps.ClonesLast() { // the process that will execute the program is there only now
		list = append(list, c.process.ReapFirst)
	}
	list = append(list, c.place.BeforeProgram(c.entry.Rec, c.entry.Write)...)
	if c.options.handsOver() {
		list = append(list, func() error { return c.options.handOver(c.process, console.PidfdCreate) })
	}
	if ready := c.notify.Ready; ready != nil {
		list = append(list, func() error { return ready.SetProcess(c.process.Pid(), c.process.Pidfd()) })
	}
	if len(c.bundle.NetDevices) > 0 {
		list = append(list, c.devices.Keep)
	}
	if c.direct && len(specconv.HooksOf(c.bundle.Spec.Hooks, hooks.StartContainer)) > 0 {
		list = append(list, func() error {
			c.hooksRan = true
			return c.runtime.runStartHooks(c.entry.Rec, c.entry.Dir, c.runtime.stopsAtEnd(c.process.Pidfd()))
		})
	}
	return list
}

// release does what is left, and lets the process go on: to wait for start, or in a run to its
// program.
func (c *creation) release() error {
	for _, do := range c.beforeProgram() {
		if err := do(); err != nil {
			return err
		}
	}
	c.hooksRan = true
	if err := c.process.ReapFirst(); err != nil {
		return err
	}
	if !c.direct {
		return c.process.Resume()
	}
	if err := c.process.Unblock(); err != nil {
		return err
	}
	if err := c.process.Converse(0); err != nil {
		return err
	}
	c.devices.Done()
	// The container runs, and can be used and deleted by others.
	if err := c.entry.Dir.Created(); err != nil {
		return err
	}
	return c.runtime.runPoststartHooks(c.entry.Dir, c.entry.Rec, c.runtime.stops())
}

// createHooks runs the hooks that belong between the mounts and the change of the root.
func (c *creation) createHooks() error {
	if err := c.place.Complete(c.process.Pid()); err != nil {
		return err
	}
	c.hooksRan = true
	// The specification's text fits both states: the environment has been made (created is "after
	// step 2 in the lifecycle"), and the create operation has not finished. Prestart hooks were
	// written for a time when they came with start, and so for a created container.
	rec, stops := c.entry.Rec, c.runtime.stopsAtEnd(c.process.Pidfd())
	if err := c.runtime.runHostHooks(hooks.Prestart, rec, specs.StateCreated, stops); err != nil {
		return err
	}
	if err := c.runtime.runHostHooks(hooks.CreateRuntime, rec, specs.StateCreating, stops); err != nil {
		return err
	}
	return c.runtime.runCreateHooks(rec, c.process.Pidfd(), stops)
}

// copyUp fills a tmpfs with the content of the directory that it covers (tmpcopyup). step is the
// mount's.
func (c *creation) copyUp(from, to *os.File, step uint32) error {
	field, mount := c.steps.CopiedUp(step)
	if from == nil || to == nil {
		return &specconv.FieldError{Path: field, Err: errors.New("tmpcopyup: the process sent no descriptor")}
	}
	err := placement.CopyUp(c.place, c.process.Pid(), from, to, mount.Data, c.runtime.stopsAtEnd(c.process.Pidfd()))
	if err != nil {
		return &specconv.FieldError{Path: field, Err: fmt.Errorf("tmpcopyup of %s: %w", mount.Destination, err)}
	}
	return nil
}

func (c *creation) warnings() {
	for _, w := range slices.Concat(c.bundle.Warnings, c.steps.Warnings) {
		c.runtime.warn(w)
	}
	for _, n := range slices.Concat(c.bundle.Notes, c.steps.Notes, c.place.Notes()) {
		c.runtime.note(n)
	}
}

// undo cleans up after a failed creation.
func (c *creation) undo() error {
	if c.entry.Dir == nil { // the id is taken, or was never reserved: nothing was created
		return nil
	}
	defer c.entry.Dir.Close()
	errs := []error{c.devices.Undo()} // before the process ends, and its network namespace with it
	if c.process != nil {
		errs = append(errs, c.process.Abort())
	}
	// Others may have deleted a container whose program runs. If one with its id exists, it is
	// another one.
	err := c.entry.Dir.LockSame(lockLimit)
	if errors.Is(err, ErrNotExist) {
		err = ErrDeleted
	}
	if err != nil {
		return errors.Join(append(errs, err, c.notify.Undo())...)
	}
	errs = append(errs, c.resources.Undo())
	if c.hooksRan {
		c.runtime.poststop(c.entry.Rec)
	}
	return errors.Join(errs...)
}

// endForker ends the forker's thread, which is in the container's namespaces.
func (c *creation) endForker() {
	if c.forker != nil {
		c.forker.End()
		c.forker = nil
	}
}

// close releases what only the creation needs.
func (c *creation) close() {
	c.entry.Release()
	if c.devices != nil {
		c.devices.Release()
	}
	if c.place != nil {
		c.place.Close()
	}
}
