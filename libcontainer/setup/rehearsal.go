package setup

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// Rehearsal returns a plan that tries what p does without leaving anything behind. The process
// joins and makes its namespaces, creates filesystems and copies of mounts without attaching them,
// opens the files that it would write to, and sets its limits and credentials. Nothing remains but
// what the kernel loads (the module of a filesystem). It ends with [MessageReady].
//
// absent are directories that only the creation of a container makes: bind mounts from below them
// are left out.
//
// An action that is added must be listed in rehearsed, and a test fails for one that is not.
func (p *Plan) Rehearsal(absent ...string) *Plan {
	r := &Plan{Cloneflags: p.Cloneflags, rehearsal: true}
	for _, s := range p.Steps {
		r.Steps = append(r.Steps, p.rehearsed(s, absent)...)
	}
	r.Steps = append(r.Steps, Step{"", endRehearsal{}})
	return r
}

// WithoutField returns a copy of a rehearsal without the steps that come from a field, from a part
// of it, or from what it is a part of. It returns nil if there are none, or if later steps depend
// on them.
func (p *Plan) WithoutField(field string) *Plan {
	c := &Plan{Cloneflags: p.Cloneflags, rehearsal: true}
	for _, s := range p.Steps {
		gone := jsonpath.Holds(field, s.Field) || jsonpath.Holds(s.Field, field)
		if field == "" {
			gone = is[tryNodes](s)
		}
		switch {
		case !gone:
			c.Steps = append(c.Steps, s)
		case s.phase() <= phaseJoin:
			return nil
		}
	}
	if len(c.Steps) == len(p.Steps) {
		return nil
	}
	return c
}

// rehearsed returns the steps that try s.
func (p *Plan) rehearsed(s Step, absent []string) []Step {
	switch a := s.Action.(type) {
	case isolate, setOOMScore, raiseLimit, joinNamespace, joinUser, becomeRoot, newNamespaces, newCgroupNamespace, cloneChild, openClocks,
		setClocks, setLabel, resetAffinity, setMemoryPolicy, setScheduler, setIOPriority, mountEarly, enterRootfs, loopbackUp, newSession, setPersonality,
		setUmask, setRlimit, dropBounding, setUser, setCapabilities, setAmbient, noNewPrivileges:
		return []Step{s} // their effects end with the process, or with namespaces of its own
	case joinKeyring:
		return []Step{{s.Field, joinKeyring{}}} // a nameless one is not shared
	case bindRoot:
		return []Step{{s.Field, tryRoot{a}}}
	case mountNew:
		return p.tryMount(s.Field, a)
	case mountCgroups:
		return []Step{{s.Field, tryHierarchies{a}}}
	case bindMount:
		below := func(dir string) bool { return dir == a.Source || strings.HasPrefix(a.Source, dir+"/") }
		// The runtime creates the sources of its own bind mounts first.
		if s.Field != "" && !slices.ContainsFunc(absent, below) {
			return []Step{{s.Field, tryBind{a}}}
		}
	case fillDev:
		return p.tryNodes(s.Field, a.Bind, a.Devices...)
	case makeDevice:
		if a.Node != "" {
			return nil // the runtime makes the node
		}
		return p.tryNodes(s.Field, a.Device.Type != unix.S_IFIFO, a.Device)
	case setSysctl:
		return []Step{{s.Field, trySysctl{a}}}
	case changeRoot, copyLink, finalPropagation, attachNodes, removeNodes, makeCwd, makePrivate, maskPath, moveRoot, openRoot, pivot, prepareMasks, readOnlyLater, readOnlyPath,
		remount, rootReadOnly, setPropagation, openProc, openConsole, enterCwd, findProgram:
		return nil // needs the root with all mounts
	case awaitCgroup, execProgram, hold, joinCgroup, joinDeferred, joinMemory, joinRDT, learnHome, learnPid, loadSeccomp, dropAdmin, lowerFileLimit, nothingToExec, giveStreams, replaceNull, runHooks, setDomainname, setHostname, awaitNetDevices:
		return nil // affects other processes, or is about the end that a rehearsal does not have
	}
	return nil // the process joins a container
}

// tryRoot copies the root filesystem's mounts.
type tryRoot struct{ bindRoot }

func (t tryRoot) lower(l *lowering) {
	root, at := l.fd(), t.Path
	if t.Passed {
		at = "."
	}
	under := l.fd()
	l.hostOpen(at, openDir).Result(under)
	if t.Passed {
		l.prog.Set(root, RootTree)
	} else {
		l.clone(under, true).Result(root)
	}
	l.setattr(root, unix.MountAttr{Propagation: unix.MS_PRIVATE}, true)
}

// tryBind copies the mounts of a bind mount's source, and sets their attributes.
type tryBind struct{ bindMount }

func (t tryBind) tried() Action { return t.bindMount }

func (t tryBind) lower(l *lowering) {
	mount := l.fd()
	t.copy(l, mount)
	l.mapIDs(mount, &t.Mount)
	l.changeMount(mount, t.AttrSet, &t.Mount)
}

// tryMount tries the parts of a new filesystem's mount one by one, each with its own field. A mount
// that is made early has already been tried.
func (p *Plan) tryMount(field string, m mountNew) []Step {
	if slices.ContainsFunc(p.Steps, func(s Step) bool { e, ok := s.Action.(mountEarly); return ok && e.Mount.Index == m.Index }) {
		return nil
	}
	limited := slices.ContainsFunc(p.Steps, is[joinUser])
	list := []Step{{field + ".type", tryFileSystem{m, limited && !harmless(m.Type)}}}
	if isLong(m.Source, m.parameters()) {
		return list // a long mount would have to be attached: see longMount
	}
	for _, parameter := range m.parameters() {
		option := field + ".options"
		if i := slices.Index(m.Options, parameter); i >= 0 {
			option = jsonpath.Index(option, i)
		}
		list = append(list, Step{option, tryOption{m, parameter}})
	}
	if harmless(m.Type) {
		list = append(list, Step{field, tryNew{m}})
	}
	return list
}

// harmless reports whether creating a filesystem changes nothing, wherever it is: it needs no disk,
// no server and no directory of another filesystem.
func harmless(fstype string) bool {
	switch fstype {
	case "proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue", "cgroup2":
		return true
	}
	return false
}

// tryFileSystem looks up a filesystem by its type.
type tryFileSystem struct {
	mountNew
	// Owned is set when a user namespace must be able to create the filesystem. The kernel checks
	// that before the parameters, which all but the harmless ones need.
	Owned bool
}

func (t tryFileSystem) lower(l *lowering) {
	fs, fine := l.fd(), l.prog.NewLabel()
	l.call(unix.SYS_FSOPEN, l.str(t.Type), nsenter.Int(unix.FSOPEN_CLOEXEC)).Result(fs)
	if t.Owned {
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_CMD_CREATE)).OnError(fine, unix.EINVAL)
	}
	l.prog.Place(fine)
}

// tryOption sets one parameter of a filesystem. Some filesystems check it at once, others, and
// older kernels, when they are created.
type tryOption struct {
	mountNew
	Parameter string
}

func (t tryOption) String() string {
	return "mount " + t.Type + " on " + t.Destination + ": option " + quote(t.Parameter)
}

func (t tryOption) lower(l *lowering) {
	fs := l.fd()
	l.call(unix.SYS_FSOPEN, l.str(t.Type), nsenter.Int(unix.FSOPEN_CLOEXEC)).Result(fs)
	l.configure(fs, t.Type, []string{t.Parameter})
	if harmless(t.Type) {
		l.call(unix.SYS_FSCONFIG, fs, nsenter.Int(unix.FSCONFIG_CMD_CREATE))
	}
}

// tryNew creates a filesystem and its mount.
type tryNew struct{ mountNew }

func (t tryNew) lower(l *lowering) {
	mount := l.fd()
	l.newMount(mount, t.Type, t.Source, t.parameters(), t.attributes())
	l.mapIDs(mount, &t.Mount)
	t.propagate(l, mount)
}

// tryHierarchies creates the mounts of the v1 hierarchies. Without a cgroup namespace these would
// be bind mounts of directories that do not exist yet.
type tryHierarchies struct{ mountCgroups }

func (t tryHierarchies) lower(l *lowering) {
	l.newMount(l.fd(), "tmpfs", "tmpfs", []string{"mode=755"}, 0)
	for i := range t.Hierarchies {
		if t.Namespace {
			l.newMount(l.prog.Reg(), "cgroup", "cgroup", hierarchyParameters(&t.Hierarchies[i]), 0)
		}
	}
}

// tryNodes tries to make nodes, unless the plan makes them with the host's root in reach.
func (p *Plan) tryNodes(field string, bind bool, devices ...device) []Step {
	if !slices.ContainsFunc(p.Steps, is[bindRoot]) {
		return nil
	}
	return []Step{{field, tryNodes{devices, bind}}}
}

// tryNodes makes nodes in a new tmpfs.
type tryNodes struct {
	Devices []device
	Bind    bool // the host's node may replace one that may not be made
}

func (tryNodes) tried() Action { return makeDevice{} }
func (tryNodes) kind() kind    { return kind{phaseDevices, "make device", ""} }
func (t tryNodes) String() string {
	names := make([]string, len(t.Devices))
	for i := range t.Devices {
		names[i] = path.Base(t.Devices[i].Path)
	}
	return "make devices: " + strings.Join(names, " ")
}

func (t tryNodes) lower(l *lowering) {
	dir := l.fd()
	l.newMount(dir, "tmpfs", "tmpfs", nil, 0)
	for i := range t.Devices {
		d := &t.Devices[i]
		refused, done, tree := l.prog.NewLabel(), l.prog.NewLabel(), l.fd()
		node := l.at(unix.SYS_MKNODAT, in(dir), strconv.Itoa(i), nsenter.Int(d.Type|d.Mode),
			nsenter.Int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))))
		if t.Bind {
			node.OnError(refused, unix.EPERM)
		}
		l.prog.Jump(done)
		l.prog.Place(refused)
		l.hostNode(tree, d, done)
	}
}

// trySysctl opens a sysctl of the container's namespaces. It does not write it, because the
// namespaces may be shared.
type trySysctl struct{ setSysctl }

func (t trySysctl) tried() Action { return t.setSysctl }

func (t trySysctl) lower(l *lowering) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS
	proc := l.fd()
	l.newMount(proc, "proc", "proc", nil, 0)
	l.openat2(proc, "sys/"+t.File, unix.O_WRONLY, 0, resolve).Result(l.fd())
}

// endRehearsal reports that everything was tried.
type endRehearsal struct{}

func (endRehearsal) kind() kind        { return kind{phaseExec, "end", "end of the rehearsal"} }
func (endRehearsal) lower(l *lowering) { l.rendezvous(MessageReady) }

// nothingStays is the rule of rehearsals: the plan attaches no mount, creates no name except in a
// filesystem of its own, and executes no program.
func nothingStays(_ []Step, calls []callRecord) (int, string) {
	for i := range calls {
		switch c := &calls[i]; c.nr {
		case unix.SYS_MOUNT, unix.SYS_MOVE_MOUNT, unix.SYS_PIVOT_ROOT, unix.SYS_UMOUNT2, unix.SYS_EXECVE, unix.SYS_MKDIRAT, unix.SYS_SYMLINKAT,
			unix.SYS_UNLINKAT, unix.SYS_FCHOWNAT, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_ACCEPT4:
			return i, "system call " + strconv.Itoa(int(c.nr)) + " changes what outlives the process"
		}
	}
	return 0, ""
}
