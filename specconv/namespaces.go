package specconv

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// Namespace is one entry of linux.namespaces.
type Namespace struct {
	Type specs.LinuxNamespaceType
	// Path is the file on the host of a namespace to join; empty means a new namespace.
	Path string
	// Index is the entry's index in linux.namespaces: errors name linux.namespaces[Index].
	Index int
}

// NamespaceKind is one row of the namespace table: the names of a namespace type.
type NamespaceKind struct {
	// Type is config.json's name.
	Type specs.LinuxNamespaceType
	// Flag is the kernel's CLONE_NEW* constant, for clone, unshare and setns.
	Flag uintptr
	// Proc is the file name below /proc/PID/ns.
	Proc string
}

// namespaceKinds is the table of all kinds of namespaces, sorted by Type.
var namespaceKinds = [...]NamespaceKind{
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, "cgroup"},
	{specs.IPCNamespace, unix.CLONE_NEWIPC, "ipc"},
	{specs.MountNamespace, unix.CLONE_NEWNS, "mnt"},
	{specs.NetworkNamespace, unix.CLONE_NEWNET, "net"},
	{specs.PIDNamespace, unix.CLONE_NEWPID, "pid"},
	{specs.TimeNamespace, unix.CLONE_NEWTIME, "time"},
	{specs.UserNamespace, unix.CLONE_NEWUSER, "user"},
	{specs.UTSNamespace, unix.CLONE_NEWUTS, "uts"},
}

// NamespaceKinds returns the table of all kinds of namespaces, sorted by Type.
func NamespaceKinds() []NamespaceKind {
	return slices.Clone(namespaceKinds[:])
}

// NamespaceFlag returns the CLONE_NEW* flag of a type, and whether the type exists.
func NamespaceFlag(t specs.LinuxNamespaceType) (uintptr, bool) {
	for _, k := range namespaceKinds {
		if k.Type == t {
			return k.Flag, true
		}
	}
	return 0, false
}

// namespaces checks linux.namespaces and the fields that belong to single namespaces, and sets the
// bundle's Namespaces.
func (c *checker) namespaces(b *Bundle) {
	list := c.spec.Linux.Namespaces
	b.Namespaces = make([]Namespace, 0, len(list))
	var seen uintptr
	for i := range list {
		n := &list[i]
		flag, ok := NamespaceFlag(n.Type)
		switch {
		case n.Type == "":
			c.fault(jsonpath.Index("linux.namespaces", i)+".type", "is required")
		case !ok:
			c.fault(jsonpath.Index("linux.namespaces", i)+".type", "unknown type "+strconv.Quote(string(n.Type)))
		case seen&flag != 0:
			c.fault(jsonpath.Index("linux.namespaces", i), "there is a "+string(n.Type)+" namespace already")
		}
		seen |= flag
		if n.Path != "" {
			if problem := pathProblem(n.Path); problem != "" {
				c.fault(jsonpath.Index("linux.namespaces", i)+".path", problem)
			}
		}
		b.Namespaces = append(b.Namespaces, Namespace{Type: n.Type, Path: n.Path, Index: i})
	}
	c.userNamespace(b)
	c.timeNamespace(b)
}

// userNamespace checks linux.uidMappings and linux.gidMappings: a new user namespace needs both. A
// joined one has its own, which the configuration may repeat.
func (c *checker) userNamespace(b *Bundle) {
	n, ok := b.Namespace(specs.UserNamespace)
	maps := [...]struct {
		path string
		list []specs.LinuxIDMapping
	}{
		{"linux.uidMappings", c.spec.Linux.UIDMappings},
		{"linux.gidMappings", c.spec.Linux.GIDMappings},
	}
	for _, m := range maps {
		switch {
		case len(m.list) > 0 && !ok:
			c.needs(specs.UserNamespace, m.path)
		case len(m.list) == 0 && ok && n.Path == "":
			c.fault(m.path, "is required for a new user namespace")
		case ok && n.Path == "" && !slices.ContainsFunc(m.list, func(l specs.LinuxIDMapping) bool { return l.ContainerID == 0 && l.Size > 0 }):
			c.fault(m.path, "must map containerID 0: the root of the namespace sets the container up")
		}
		c.idMap(m.path, m.list)
	}
}

// maxIDMap is the largest number of entries that the kernel accepts.
const maxIDMap = 340

// idMap checks a list of id mappings with the kernel's rules (user_namespaces(7)).
func (c *checker) idMap(path string, list []specs.LinuxIDMapping) {
	if len(list) > maxIDMap {
		c.fault(path, "must not have more than "+strconv.Itoa(maxIDMap)+" entries")
		return
	}
	overlap := func(a, b, sizeA, sizeB uint32) bool {
		return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
	}
	for i, m := range list {
		switch end := uint64(max(m.ContainerID, m.HostID)) + uint64(m.Size); {
		case m.Size == 0:
			c.fault(jsonpath.Index(path, i)+".size", "must be greater than 0")
		case end > 1<<32-1:
			c.fault(jsonpath.Index(path, i)+".size", "the range goes beyond 4294967294, the greatest id")
		}
		for j, o := range list[:i] {
			if overlap(m.ContainerID, o.ContainerID, m.Size, o.Size) || overlap(m.HostID, o.HostID, m.Size, o.Size) {
				c.fault(jsonpath.Index(path, i), "overlaps with "+jsonpath.Index(path, j))
			}
		}
	}
}

// timeNamespace checks linux.timeOffsets.
func (c *checker) timeNamespace(b *Bundle) {
	offsets := c.spec.Linux.TimeOffsets
	if len(offsets) == 0 {
		return
	}
	if n, ok := b.Namespace(specs.TimeNamespace); !ok || n.Path != "" {
		c.fault("linux.timeOffsets", "needs a new time namespace")
	}
	for _, clock := range sortedKeys(offsets) {
		c.problem(jsonpath.Member("linux.timeOffsets", clock), oneOf(clock, "boottime", "monotonic"))
		if offsets[clock].Nanosecs >= 1e9 {
			c.fault(jsonpath.Member("linux.timeOffsets", clock)+".nanosecs", "must be less than 1000000000")
		}
	}
}
