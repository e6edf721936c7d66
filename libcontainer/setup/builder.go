package setup

import (
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// A builder assembles a plan. It appends steps in the order of the phases, see phase.
type builder struct {
	plan      *Plan
	bundle    *specconv.Bundle
	facts     *Facts
	kept      int              // mounts whose descriptors are kept
	readOnly  []Step           // mounts that are made read-only inside
	files     []Step           // a limit of open files that is set last
	dumpable  bool             // see isolate
	inUser    bool             // the process joins a user namespace
	finalCaps *setCapabilities // the final capabilities: see retainAdmin
	last      bool             // the process enters a PID namespace last: see enter.go
	own       []Step           // what the process that enters it last must do itself
	room      []Step           // removes limits on its creation
	holds     bool             // it waits for start
	// filterFirst is set when the filter is loaded before the process enters the PID namespace.
	filterFirst bool
	env         []string    // added to the program's environment
	hook        *specs.Hook // executed in place of the program
	// learnsPid names the variable that gets the process's PID, "" for none. learnsHome is set when
	// HOME must be looked up.
	learnsPid  string
	learnsHome bool
}

func newBuilder(o Options, f *Facts) *builder {
	return &builder{plan: &Plan{Steps: make([]Step, 0, 64), Inherit: o.Inherit}, facts: f}
}

func (b *builder) add(field string, a Action) {
	b.plan.Steps = append(b.plan.Steps, Step{field, a})
}

func (b *builder) note(text string) { b.plan.Notes = append(b.plan.Notes, text) }

func (b *builder) warn(text string) { b.plan.Warnings = append(b.plan.Warnings, text) }

// Container plans a container's first process. An error names the invalid field of the
// configuration by its JSON path.
func Container(bundle *specconv.Bundle, o Options, f Facts) (*Plan, error) {
	b := newBuilder(o, &f)
	b.bundle = bundle
	spec := bundle.Spec
	linux := spec.Linux
	if linux == nil {
		linux = &specs.Linux{}
	}
	process := spec.Process
	if process == nil {
		process = &specs.Process{}
	}
	if err := checkPaths(linux, process); err != nil {
		return nil, err
	}
	users := UserNamespace(bundle, &f)
	if err := checkRoot(bundle, users); err != nil {
		return nil, err
	}
	if spec.Process != nil {
		if err := checkUser(users, &process.User); err != nil {
			return nil, err
		}
	}
	_, b.inUser = bundle.Namespace(specs.UserNamespace)
	b.dumpable = f.Unprivileged && !joinsOthers(bundle)
	b.last = b.entersLast(bundle)
	b.isolateSteps(process.OOMScoreAdj)
	b.cgroupSteps(o)
	if err := b.labelSteps(process); err != nil {
		return nil, err
	}
	if linux.MountLabel != "" && !f.SELinux {
		b.warn("linux.mountLabel: SELinux is not enabled on this host: no label is set")
	}
	b.isolateIOStep(process.IOPriority)
	b.raiseSteps(process.Rlimits)
	b.joinSteps(bundle)
	b.pidStep(o.PidVariable)
	if err := b.identitySteps(spec, o); err != nil {
		return nil, err
	}
	final, err := b.rootSteps(linux)
	if err != nil {
		return nil, err
	}
	if err := b.mountSteps(bundle, o); err != nil {
		return nil, err
	}
	b.shareStep(o.Share)
	if cwd := cleanPath(process.Cwd); cwd != "/" {
		b.add("process.cwd", makeCwd{cwd})
	}
	if err := b.deviceSteps(bundle); err != nil {
		return nil, err
	}
	if process.Terminal {
		b.add("process.terminal", openConsole{process.ConsoleSize, process.User.UID, b.mountNamespace(), o.PlainLines, b.last})
	}
	if len(bundle.NetDevices) > 0 {
		if err := b.checkShared("linux.netDevices", specs.NetworkNamespace); err != nil {
			return nil, err
		}
		b.add("linux.netDevices", awaitNetDevices{bundle.NetDevices})
	}
	b.hookSteps(spec.Hooks)
	if err := b.sysctlSteps(linux.Sysctl, b.ownProc(bundle)); err != nil {
		return nil, err
	}
	b.hiddenSteps(linux.ReadonlyPaths, linux.MaskedPaths)
	b.pivotSteps(o)
	b.insideSteps(spec, linux, final)
	b.processSteps(process, o, linux)
	if err := b.checkFilter(); err != nil {
		return nil, err
	}
	return b.plan, nil
}

// Exec plans a process that joins a container.
func Exec(p *specs.Process, j Join, o Options, f Facts) (*Plan, error) {
	if err := checkPaths(&specs.Linux{}, p); err != nil {
		return nil, err
	}
	b := newBuilder(o, &f)
	b.inUser = j.Namespaces&unix.CLONE_NEWUSER != 0
	b.last = j.Namespaces&unix.CLONE_NEWPID != 0
	b.isolateSteps(p.OOMScoreAdj)
	b.cgroupSteps(o)
	if err := b.labelSteps(p); err != nil {
		return nil, err
	}
	b.isolateIOStep(p.IOPriority)
	if b.inUser {
		if err := checkUser(f.Users, &p.User); err != nil {
			return nil, err
		}
		b.raiseSteps(p.Rlimits)
	}
	b.joinContainerSteps(j)
	b.keyringStep(o)
	b.add("", openOwnRoot{})
	b.hook = o.Hook
	if p.Terminal {
		b.add("process.terminal", openConsole{p.ConsoleSize, p.User.UID, false, o.PlainLines, true})
	}
	_, notes := specconv.ParseCapabilities(p.Capabilities)
	b.plan.Notes = append(b.plan.Notes, notes...)
	b.propertySteps(p, p.ExecCPUAffinity, j.Personality, j.MemoryPolicy)
	b.programSteps(p, o)
	if err := b.checkFilter(); err != nil {
		return nil, err
	}
	return b.plan, nil
}

// Hook plans a process that joins a container's namespaces while their root is still the host's,
// and executes a program of the host there (createContainer). It has the runtime's privileges and
// umask, and starts in dir if dir is reachable. The hook's environment is complete.
func Hook(h specs.Hook, dir string, j Join, f Facts) (*Plan, error) {
	b := newBuilder(Options{}, &f)
	b.inUser = j.Namespaces&unix.CLONE_NEWUSER != 0
	b.isolateSteps(nil)
	b.joinContainerSteps(j)
	b.add("", newSession{})
	b.add("", enterBundle{dir})
	b.add("", setUmask{f.Umask})
	b.add("", endWithRuntime{})
	b.add("hooks", execHook{execProgram{h.Path, h.Args, specconv.Environment(h.Env), learned{}}})
	return b.plan, nil
}

// checkShared rejects a field that would change a namespace of the runtime itself, which the
// container joins by path. A container must not change what belongs to the host.
func (b *builder) checkShared(field string, kind specs.LinuxNamespaceType) error {
	if flag, _ := specconv.NamespaceFlag(kind); b.facts.Shared&flag == 0 {
		return nil
	}
	return specconv.Invalid(field, "the "+string(kind)+" namespace is the runtime's own: the setting would apply to the host")
}

// identitySteps appends the steps for the session, keyring, loopback device and host name. Names
// that the runtime's own UTS namespace already has are not set again.
func (b *builder) identitySteps(spec *specs.Spec, o Options) error {
	if spec.Hostname != "" && spec.Hostname != b.facts.Hostname {
		if err := b.checkShared("hostname", specs.UTSNamespace); err != nil {
			return err
		}
		b.add("hostname", setHostname{spec.Hostname})
	}
	if spec.Domainname != "" && spec.Domainname != b.facts.Domainname {
		if err := b.checkShared("domainname", specs.UTSNamespace); err != nil {
			return err
		}
		b.add("domainname", setDomainname{spec.Domainname})
	}
	if n, ok := b.bundle.Namespace(specs.NetworkNamespace); ok && n.Path == "" {
		b.add(jsonpath.Index("linux.namespaces", n.Index), loopbackUp{})
	}
	if !b.last {
		b.add("", newSession{})
	}
	b.keyringStep(o)
	return nil
}

func (b *builder) mountNamespace() bool {
	_, ok := b.bundle.Namespace(specs.MountNamespace)
	return ok
}

// rootSteps makes the root filesystem a mount of its own, and returns the propagation that it gets
// in the end.
func (b *builder) rootSteps(linux *specs.Linux) (final uint64, err error) {
	n, ok := b.bundle.Namespace(specs.MountNamespace)
	if !ok {
		b.add("root.path", openRoot{b.bundle.Rootfs})
		return 0, nil
	}
	if b.facts.Shared&unix.CLONE_NEWNS != 0 {
		return 0, specconv.Invalid(jsonpath.Index("linux.namespaces", n.Index)+".path",
			"is the host's mount namespace: the container's mounts would appear on the host")
	}
	flags, _ := specconv.PropagationFlag(linux.RootfsPropagation)
	host, root, final := rootPropagation(flags)
	field := ""
	if flags != 0 {
		field = "linux.rootfsPropagation"
	}
	b.add(field, host)
	if flags&^unix.MS_REC == unix.MS_SHARED {
		parent := b.facts.RootParent
		if parent == "" {
			parent = "/"
		}
		b.add(field, makePrivate{parent})
	}
	b.add("root.path", bindRoot{b.bundle.Rootfs, root, b.passed()})
	return final, nil
}

// passed reports whether the runtime passes copies of bind mounts to the process. In a user
// namespace the process cannot copy the host's mounts any more, and may not be able to reach them.
// An ordinary user's runtime cannot copy them either.
func (b *builder) passed() bool {
	n, ok := b.bundle.Namespace(specs.MountNamespace)
	return b.inUser && !b.facts.Unprivileged && ok && n.Path == ""
}

func (b *builder) hookSteps(h *specs.Hooks) {
	var kinds []string
	for _, kind := range [...]string{"prestart", "createRuntime", "createContainer"} {
		if len(specconv.HooksOf(h, kind)) > 0 {
			kinds = append(kinds, kind)
		}
	}
	if kinds != nil {
		b.add("hooks", runHooks{strings.Join(kinds, ", ")})
	}
}

// ownProc reports whether the container has a procfs of its own through which sysctls can be set:
// see refersTo.
func (b *builder) ownProc(bundle *specconv.Bundle) bool {
	own := false
	for i := range bundle.Mounts {
		m := &bundle.Mounts[i]
		if m.Destination == "/proc" && !m.Remount {
			own = m.Type == "proc" && b.refersTo(bundle, m) && !b.foreign(specs.PIDNamespace)
		}
	}
	return own && b.kept < maxKept
}

func (b *builder) pivotSteps(o Options) {
	switch {
	case !b.mountNamespace():
		b.add("", changeRoot{})
	case o.NoPivot:
		pseudo := b.facts.Pseudo
		if pseudo == nil {
			pseudo = []string{"/proc", "/sys"}
		}
		b.add("", moveRoot{pseudo})
	default:
		b.add("", pivot{})
	}
}

func (b *builder) insideSteps(spec *specs.Spec, linux *specs.Linux, final uint64) {
	b.plan.Steps = append(b.plan.Steps, b.readOnly...)
	if spec.Root != nil && spec.Root.Readonly {
		b.add("root.readonly", rootReadOnly{})
	}
	if final != 0 {
		b.add("linux.rootfsPropagation", finalPropagation{final, linux.RootfsPropagation})
	}
}

// makesPIDNamespace reports whether the process is the first one of a PID namespace.
func (b *builder) makesPIDNamespace() bool {
	n, ok := b.bundle.Namespace(specs.PIDNamespace)
	return ok && n.Path == ""
}

func (b *builder) umaskStep(p *specs.Process) {
	if p.User.Umask != nil {
		b.add("process.user.umask", setUmask{*p.User.Umask})
		return
	}
	b.add("", setUmask{defaultUmask})
}

func (b *builder) personalityStep(p *specs.LinuxPersonality) {
	if p != nil {
		b.add("linux.personality", setPersonality{p.Domain})
	}
}

// propertySteps appends the steps for the process's properties, and finds its program.
func (b *builder) propertySteps(p *specs.Process, affinity *specs.CPUAffinity, personality *specs.LinuxPersonality, memory *specs.LinuxMemoryPolicy) {
	b.homeStep(p)
	b.personalityStep(personality)
	b.umaskStep(p)
	b.streamSteps(p)
	b.limitSteps(p.Rlimits)
	b.affinityStep(affinity)
	b.schedulingSteps(p, memory)
	b.credentialSteps(p)
	if len(p.Args) > 0 && b.hook == nil {
		b.add("process.args", findProgram{p.Args[0], Candidates(p.Args[0], p.Env)})
	}
}

// processSteps appends the steps for the fields of process, and the wait for start.
func (b *builder) processSteps(p *specs.Process, o Options, linux *specs.Linux) {
	// process.execCPUAffinity only applies to processes that join.
	b.propertySteps(p, nil, linux.Personality, linux.MemoryPolicy)
	if o.JoinMemory {
		b.add("", joinMemory{Late: o.MemoryPath != ""})
	}
	if b.last {
		b.holds = true
		kept := ReleasePipe
		if o.StartSocket {
			kept = StartSocket
		}
		b.enterSteps(p, kept, nil)
	}
	b.add("", hold{o.StartSocket, b.makesPIDNamespace()})
	b.execSteps(p)
}

// programSteps ends the plan of a process that does not wait for start.
func (b *builder) programSteps(p *specs.Process, o Options) {
	if o.JoinMemory {
		b.add("", joinMemory{})
	}
	for _, tasks := range o.JoinRDT {
		b.add("linux.intelRdt", joinRDT{tasks})
	}
	for _, tasks := range o.JoinLast {
		b.add("", joinCgroup{tasks, phaseCharge})
	}
	for _, s := range b.files {
		b.add(s.Field, lowerFileLimit{s.Action.(lowerFileLimit).Limit, true})
	}
	b.files = nil
	kept := nsenter.FirstOwn
	if n := len(o.JoinInside); n > 0 {
		kept = o.JoinInside[n-1]
	}
	b.enterSteps(p, kept, o.JoinInside)
	b.execSteps(p)
}

func (b *builder) execSteps(p *specs.Process) {
	b.plan.Steps = append(b.plan.Steps, b.files...)
	if len(p.Args) == 0 {
		b.add("process.args", nothingToExec{})
		return
	}
	if b.hook != nil {
		b.add("", endWithRuntime{})
	}
	if !b.filterFirst {
		b.filterSteps(false)
	}
	if b.hook != nil {
		b.add("hooks", execHook{execProgram{b.hook.Path, p.Args, b.environment(p.Env), b.learned()}})
		return
	}
	b.add("process.args", execProgram{p.Args[0], p.Args, b.environment(p.Env), b.learned()})
}

// checkPaths rejects devices at / and terminals that are too large.
func checkPaths(linux *specs.Linux, p *specs.Process) error {
	for i := range linux.Devices {
		if cleanPath(linux.Devices[i].Path) == "/" {
			return specconv.Invalid(jsonpath.Index("linux.devices", i)+".path", "must not be /")
		}
	}
	if p.Terminal && p.ConsoleSize != nil && (p.ConsoleSize.Height > 65535 || p.ConsoleSize.Width > 65535) {
		return specconv.Invalid("process.consoleSize", "must be at most 65535")
	}
	return nil
}

// cleanPath returns a path of the container in its shortest form, absolute.
func cleanPath(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p) // does not copy a clean path
	}
	return path.Clean("/" + p)
}

// quote quotes s for messages.
func quote(s string) string { return strconv.Quote(s) }
