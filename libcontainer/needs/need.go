// Package needs works out what a container asks of the host that is to run it: a list of needs, each with the field of config.json that it
// comes from. It is pure; package host answers for a host.
package needs

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
)

// Kind says what sort of thing is needed. The names are part of the interface: `check --format json` has them.
//
// To add one: give it a name here, a rule in this package that asks for it, and a probe in package host. The tests of both fail
// where one is missing.
type Kind string

const (
	Feature       Kind = "kernel feature"      // Name is one of Features
	FileSystem    Kind = "file system"         // Name is its type
	Disk          Kind = "disk"                // Name is the source of a mount, Of its file system's type
	Source        Kind = "bind source"         // Name is a path of the host
	Path          Kind = "path"                // Name is a path of the host
	Namespace     Kind = "namespace"           // Name is the type of one that is to be made
	NamespaceFile Kind = "namespace file"      // Name is a path, Of the type of the namespace that it is to be
	UserIDs       Kind = "user ids"            // IDs are to be mapped
	GroupIDs      Kind = "group ids"           // IDs are to be mapped
	Capability    Kind = "capability"          // Name is one that the caller has to have
	Program       Kind = "program"             // Name is to be found in the root file system, as the bundle's process looks for it
	Folder        Kind = "folder"              // Name is a path in the root file system, a folder or not there yet
	HostProgram   Kind = "program of the host" // Name is its path
	Device        Kind = "device"              // Name is a path of the host
	AppArmor      Kind = "AppArmor profile"    // Name is that of the profile
	SELinux       Kind = "SELinux label"       // Name is the label
	SeccompAction Kind = "seccomp action"      // Name is config.json's
	SeccompFlag   Kind = "seccomp flag"        // Name is config.json's
	Interface     Kind = "network interface"   // Name is the host's
	Resctrl       Kind = "resource control"    // Name is one of its resources, "" for the file system itself
	Processors    Kind = "processors"          // Name is a list such as 0-3,7
	Clock         Kind = "clock"               // Name is "monotonic" or "boottime", Of the offset in seconds that it must bear
	Limit         Kind = "limit of the kernel" // Name is an RLIMIT_*, Of the hard limit
	MemoryNodes   Kind = "memory nodes"        // Name is a list such as 0-3,7
	Socket        Kind = "socket of the host"  // Name is its path
	Writable      Kind = "writable folder"     // Name is a path of the host, which need not be there
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Feature, FileSystem, Disk, Source, Path, Namespace, NamespaceFile, UserIDs, GroupIDs,
		Capability, Program, Folder, HostProgram, Device, AppArmor, SELinux, SeccompAction, SeccompFlag,
		Interface, Resctrl, Processors, Clock, Limit, MemoryNodes, Socket, Writable}
}

// A Need is one thing that a container asks of the host.
type Need struct {
	Kind Kind
	Name string
	Of   string
	IDs  []specs.LinuxIDMapping
	// Paths are where a program is looked for, in this order: one for what is named by its path, where an error is that of the path.
	Paths []string
}

// A Requirement is a need, and where it comes from.
type Requirement struct {
	// Path is the JSON path in config.json, "" for what every container needs.
	Path string
	Need
	// Minor is set for what the container runs without, though not as it is meant.
	Minor bool
}

// Caller is what matters of who is to make the container.
type Caller struct {
	UID, GID uint32
	// Unprivileged is set when it lacks CAP_SYS_ADMIN, Nested when its user namespace is not the initial one.
	Unprivileged, Nested bool
}

// list collects requirements.
type list struct {
	bundle *specconv.Bundle
	spec   *specs.Spec
	linux  *specs.Linux
	caller Caller
	inUser bool
	all    []Requirement
}

func (l *list) add(path string, n Need) { l.all = append(l.all, Requirement{Path: path, Need: n}) }

// Of returns what the host must have for a bundle, in the order of the specification's sections. The bundle may have faults.
func Of(b *specconv.Bundle, c Caller) []Requirement {
	l := &list{bundle: b, spec: b.Spec, linux: b.Spec.Linux, caller: c}
	if l.linux == nil {
		l.linux = &specs.Linux{}
	}
	_, l.inUser = b.Namespace(specs.UserNamespace)
	l.kernel()
	l.mounts()
	l.process()
	l.hooks()
	l.namespaces()
	l.devices()
	l.rest()
	return l.all
}
