package setup

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// joinOrder is the order in which namespaces are joined one by one. The PID namespace comes last,
// since only a new process is in it.
var joinOrder = [...]specs.LinuxNamespaceType{
	specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace, specs.CgroupNamespace,
	specs.TimeNamespace, specs.MountNamespace, specs.PIDNamespace,
}

// joinNamespace joins a namespace by its file.
type joinNamespace struct {
	Type specs.LinuxNamespaceType
	Path string
	Flag uintptr
	// Outside is set for a PID namespace that the process enters last. Until then, a new procfs
	// only shows the namespace if the mount names it.
	Outside bool
}

func (joinNamespace) kind() kind { return kind{phaseJoin, "join", ""} }
func (j joinNamespace) name() nsenter.FD {
	return nsenter.FD("namespace " + string(j.Type))
}

func (j joinNamespace) String() string { return "join the " + string(j.Type) + " namespace " + j.Path }

func (j joinNamespace) Needs() []Descriptor {
	return []Descriptor{{Name: j.name(), Path: j.Path, Part: "path"}}
}

func (j joinNamespace) lower(l *lowering) {
	l.call(unix.SYS_SETNS, j.name(), nsenter.Int(j.Flag))
	if j.Outside {
		l.pidns = j.name()
	}
}

// joinContainer joins the namespaces of the container's process at once.
type joinContainer struct{ Flags uintptr }

func (joinContainer) kind() kind { return kind{phaseJoin, "join", ""} }

func (j joinContainer) String() string {
	return "join the container's namespaces: " + strings.Join(namespaceNames(j.Flags), ", ")
}

func (j joinContainer) Needs() []Descriptor { return []Descriptor{{Name: PidfdOfContainer}} }

func (j joinContainer) lower(l *lowering) {
	l.call(unix.SYS_SETNS, PidfdOfContainer, nsenter.Int(j.Flags))
}

// newCgroupNamespace makes the process's own cgroup the root of a new namespace. It is not a clone
// flag, because the root would then be the parent's cgroup, even with CLONE_INTO_CGROUP.
type newCgroupNamespace struct{}

func (newCgroupNamespace) kind() kind {
	return kind{phaseJoin, "unshare", "unshare the cgroup namespace"}
}

func (newCgroupNamespace) lower(l *lowering) {
	l.call(unix.SYS_UNSHARE, nsenter.Int(unix.CLONE_NEWCGROUP))
}

// newNamespaces makes namespaces that belong to the user namespace that was joined before. Those
// that clone makes would belong to the runtime's.
type newNamespaces struct{ Flags uintptr }

func (newNamespaces) kind() kind { return kind{phaseJoin, "unshare", ""} }

func (n newNamespaces) String() string {
	return "unshare namespaces: " + strings.Join(namespaceNames(n.Flags), ", ")
}

func (n newNamespaces) lower(l *lowering) { l.call(unix.SYS_UNSHARE, nsenter.Int(n.Flags)) }

// joinSteps puts the process into its namespaces, and sets those that it starts in.
//
// A namespace belongs to the user namespace in which it was made, and joining it needs a privilege
// there. Namespaces that belong to the runtime's user namespace are joined while the process has
// the runtime's privileges, those that belong to the container's after that was joined. The
// container's own namespaces are made in between, so that they belong to it.
func (b *builder) joinSteps(bundle *specconv.Bundle) {
	user, _ := bundle.Namespace(specs.UserNamespace)
	made := b.newFlags(bundle)
	offsets := bundle.Spec.Linux != nil && len(bundle.Spec.Linux.TimeOffsets) > 0
	if offsets {
		b.add("linux.timeOffsets", openClocks{})
	}
	clone := b.joinThose(bundle, func(flag uintptr) bool { return !b.inUser || b.facts.Foreign&flag != 0 })
	if b.inUser {
		b.earlySteps(bundle)
		if b.passed() {
			b.add("root.path", enterRootfs{bundle.Rootfs})
		}
		b.outsideStreamsStep()
		b.add(jsonpath.Index("linux.namespaces", user.Index), joinUser{user.Path, UserNamespace(bundle, b.facts)})
		b.add("", becomeRoot{b.dumpable})
		clone = b.joinThose(bundle, func(flag uintptr) bool { return b.facts.Foreign&flag == 0 }) || clone
	} else {
		later := uintptr(unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
		if made&unix.CLONE_NEWTIME != 0 {
			// The first process of a PID namespace cannot be replaced by another one.
			later |= unix.CLONE_NEWPID
		}
		b.plan.Cloneflags = made &^ later
		made &= later
	}
	if n, ok := bundle.Namespace(specs.CgroupNamespace); ok && n.Path == "" {
		b.add(jsonpath.Index("linux.namespaces", n.Index), newCgroupNamespace{})
	}
	if made &^= unix.CLONE_NEWCGROUP; made != 0 {
		b.add("linux.namespaces", newNamespaces{made})
	}
	if offsets {
		b.add("linux.timeOffsets", setClocks{bundle.Spec.Linux.TimeOffsets})
	}
	if !b.last && (clone || made&(unix.CLONE_NEWPID|unix.CLONE_NEWTIME) != 0) {
		b.add("linux.namespaces", cloneChild{Exposed: clone})
	}
}

// joinsOthers reports whether a container joins namespaces that other processes may be in.
func joinsOthers(bundle *specconv.Bundle) bool {
	return slices.ContainsFunc(bundle.Namespaces, func(n specconv.Namespace) bool { return n.Path != "" })
}

// newFlags returns the CLONE_NEW* flags of the new namespaces, except for the user namespace, which
// is made before the process.
func (b *builder) newFlags(bundle *specconv.Bundle) (flags uintptr) {
	for _, n := range bundle.Namespaces {
		if flag, _ := specconv.NamespaceFlag(n.Type); n.Path == "" && n.Type != specs.UserNamespace {
			flags |= flag
		}
	}
	return flags
}

// joinThose joins the wanted namespaces that have a path, and reports whether that needs a new
// process.
func (b *builder) joinThose(bundle *specconv.Bundle, wanted func(flag uintptr) bool) (clone bool) {
	for _, t := range joinOrder {
		n, ok := bundle.Namespace(t)
		flag, _ := specconv.NamespaceFlag(t)
		if ok && n.Path != "" && wanted(flag) {
			b.add(jsonpath.Index("linux.namespaces", n.Index), joinNamespace{t, n.Path, flag, t == specs.PIDNamespace && b.last})
			clone = clone || t == specs.PIDNamespace
		}
	}
	return clone
}

// joinContainerSteps moves the process into a container.
func (b *builder) joinContainerSteps(j Join) {
	b.outsideStreamsStep()
	if j.Namespaces != 0 {
		b.add("", joinContainer{j.Namespaces})
	}
	if b.inUser {
		b.add("", becomeRoot{b.dumpable})
	}
	if j.PIDNamespace != "" {
		b.add("", joinNamespace{specs.PIDNamespace, j.PIDNamespace, unix.CLONE_NEWPID, false})
	}
	if (j.PIDNamespace != "" || j.Namespaces&unix.CLONE_NEWPID != 0) && !b.last {
		b.add("", cloneChild{})
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
