package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Namespace is one entry of linux.namespaces.
type Namespace struct {
	Type specs.LinuxNamespaceType
	// Path is the namespace's file on the host, to be joined; empty means a new namespace.
	Path string
	// Index is the entry's place in linux.namespaces: errors name linux.namespaces[Index].
	Index int
}

// NamespaceKind is one row of the namespace table: what a type of namespace is called, where.
type NamespaceKind struct {
	// Type is config.json's name.
	Type specs.LinuxNamespaceType
	// Flag is the kernel's CLONE_NEW* constant, for clone, unshare and setns.
	Flag uintptr
	// Proc is the file name below /proc/PID/ns.
	Proc string
}

// NamespaceKinds returns the table of all kinds of namespaces, sorted by Type.
func NamespaceKinds() []NamespaceKind {
	return []NamespaceKind{
		{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, "cgroup"},
		{specs.IPCNamespace, unix.CLONE_NEWIPC, "ipc"},
		{specs.MountNamespace, unix.CLONE_NEWNS, "mnt"},
		{specs.NetworkNamespace, unix.CLONE_NEWNET, "net"},
		{specs.PIDNamespace, unix.CLONE_NEWPID, "pid"},
		{specs.TimeNamespace, unix.CLONE_NEWTIME, "time"},
		{specs.UserNamespace, unix.CLONE_NEWUSER, "user"},
		{specs.UTSNamespace, unix.CLONE_NEWUTS, "uts"},
	}
}

// NamespaceFlag returns the CLONE_NEW* flag of a type, and whether there is such a type.
func NamespaceFlag(t specs.LinuxNamespaceType) (uintptr, bool) {
	for _, k := range NamespaceKinds() {
		if k.Type == t {
			return k.Flag, true
		}
	}
	return 0, false
}
