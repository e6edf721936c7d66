package setup

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// joinOrder is the order in which namespaces are joined one by one. The user namespace gives the rights over the others; the PID
// namespace comes last, since it takes a new process to be in it.
var joinOrder = [...]specs.LinuxNamespaceType{
	specs.UserNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace, specs.CgroupNamespace,
	specs.TimeNamespace, specs.MountNamespace, specs.PIDNamespace,
}

// joinNamespace joins a namespace by its file.
type joinNamespace struct {
	Type specs.LinuxNamespaceType
	Path string
	Flag uintptr
}

func (j joinNamespace) Verb() string   { return "join" }
func (j joinNamespace) String() string { return "join the " + string(j.Type) + " namespace " + j.Path }
func (j joinNamespace) phase() phase   { return phaseJoin }
func (j joinNamespace) name() nsenter.FD {
	return nsenter.FD("namespace " + string(j.Type))
}

func (j joinNamespace) Needs() []Descriptor { return []Descriptor{{Name: j.name(), Path: j.Path}} }

func (j joinNamespace) lower(l *lowering) {
	l.call(unix.SYS_SETNS, j.name(), nsenter.Int(j.Flag))
}

// joinContainer joins the namespaces of the container's process at once.
type joinContainer struct{ Flags uintptr }

func (j joinContainer) Verb() string { return "join" }
func (j joinContainer) phase() phase { return phaseJoin }

func (j joinContainer) String() string {
	return "join the container's namespaces: " + strings.Join(namespaceNames(j.Flags), ", ")
}

func (j joinContainer) Needs() []Descriptor { return []Descriptor{{Name: PidfdOfContainer}} }

func (j joinContainer) lower(l *lowering) {
	l.call(unix.SYS_SETNS, PidfdOfContainer, nsenter.Int(j.Flags))
}

// newCgroupNamespace takes the process's own cgroup for the root of a new namespace. It is no clone flag: a process that is born
// into a cgroup by CLONE_INTO_CGROUP would get its parent's cgroup for the root.
type newCgroupNamespace struct{}

func (newCgroupNamespace) Verb() string        { return "unshare" }
func (newCgroupNamespace) String() string      { return "unshare the cgroup namespace" }
func (newCgroupNamespace) Needs() []Descriptor { return nil }
func (newCgroupNamespace) phase() phase        { return phaseJoin }

func (newCgroupNamespace) lower(l *lowering) {
	l.call(unix.SYS_UNSHARE, nsenter.Int(unix.CLONE_NEWCGROUP))
}

// cloneIntoPID goes on as a new process, which is the first one to be in the joined PID namespace: setns only says where
// children are born. CLONE_PARENT makes it the runtime's child like the process that it takes the place of.
type cloneIntoPID struct{}

func (cloneIntoPID) Verb() string        { return "clone" }
func (cloneIntoPID) String() string      { return "clone a process in the joined PID namespace" }
func (cloneIntoPID) Needs() []Descriptor { return nil }
func (cloneIntoPID) phase() phase        { return phaseJoin }

func (cloneIntoPID) lower(l *lowering) {
	child, pid := l.prog.NewLabel(), l.prog.Reg()
	l.call(unix.SYS_CLONE, nsenter.Int(unix.CLONE_PARENT|int(unix.SIGCHLD))).Result(pid).OnZero(child)
	l.send(MessageChild, pid)
	l.call(unix.SYS_EXIT_GROUP)
	l.prog.Place(child)
}

// Clones reports whether the first process gives way to another one, and says so with [MessageChild] before all else.
func (p *Plan) Clones() bool {
	for _, s := range p.Steps {
		if _, ok := s.Action.(cloneIntoPID); ok {
			return true
		}
	}
	return false
}

// joinSteps appends the steps that get the process into its namespaces, and sets those that it is born in.
func (b *builder) joinSteps(bundle *specconv.Bundle) {
	for _, t := range joinOrder {
		n, ok := bundle.Namespace(t)
		if !ok {
			continue
		}
		flag, _ := specconv.NamespaceFlag(t)
		field := element("linux.namespaces", n.Index)
		switch {
		case n.Path != "":
			b.add(field, joinNamespace{t, n.Path, flag})
			if t == specs.PIDNamespace {
				b.add(field, cloneIntoPID{})
			}
		case t == specs.CgroupNamespace:
			b.add(field, newCgroupNamespace{})
		default:
			b.plan.Cloneflags |= flag
		}
	}
}

// joinContainerSteps appends the steps that get the process into a container.
func (b *builder) joinContainerSteps(j Join) {
	if j.Namespaces != 0 {
		b.add("", joinContainer{j.Namespaces})
	}
	if j.Namespaces&unix.CLONE_NEWPID != 0 {
		b.add("", cloneIntoPID{})
	}
	if j.Chroot {
		b.add("", enterRoot{})
	}
}

// namespaceNames names the namespaces of CLONE_NEW* flags.
func namespaceNames(flags uintptr) []string {
	var names []string
	for _, k := range specconv.NamespaceKinds() {
		if flags&k.Flag != 0 {
			names = append(names, string(k.Type))
		}
	}
	return names
}
