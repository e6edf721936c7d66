// Package needs derives what a container needs from its host: a list of needs, each with its field
// of config.json. It is pure; package host checks the needs on a host.
package needs

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
)

// Kind is the kind of a need. The names are part of the interface: `check --format json` has them.
//
// A new one needs a name here, a rule in this package that adds it, and a probe in package host.
// The tests of both packages fail if one is missing.
type Kind string

const (
	Feature       Kind = "kernel feature" // Name is one of Features
	FileSystem    Kind = "file system"    // Name is its type
	Disk          Kind = "disk"           // Name is the source of a mount, Of its filesystem's type
	Source        Kind = "bind source"    // Name is a path of the host
	Path          Kind = "path"           // Name is a path of the host
	Namespace     Kind = "namespace"      // Name is the type of a new namespace
	NamespaceFile Kind = "namespace file" // Name is a path, Of the namespace's required type
	UserIDs       Kind = "user ids"       // IDs must be mapped
	GroupIDs      Kind = "group ids"      // IDs must be mapped
	Capability    Kind = "capability"     // Name is one that the caller must have
	// Name must exist in the root filesystem, where the bundle's process looks for it.
	Program Kind = "program"
	// Name is a path in the root filesystem. It must be a directory, or be missing.
	Directory     Kind = "folder"
	HostProgram   Kind = "program of the host" // Name is its path
	Device        Kind = "device"              // Name is a path of the host
	AppArmor      Kind = "AppArmor profile"    // Name is that of the profile
	SELinux       Kind = "SELinux label"       // Name is the label
	SeccompAction Kind = "seccomp action"      // Name is config.json's
	SeccompFlag   Kind = "seccomp flag"        // Name is config.json's
	Interface     Kind = "network interface"   // Name is the host's
	Resctrl       Kind = "resource control"    // Name is a resource, "" for the filesystem itself
	Processors    Kind = "processors"          // Name is a list such as 0-3,7
	// Name is "monotonic" or "boottime", Of the offset in seconds that it must support.
	Clock       Kind = "clock"
	Limit       Kind = "limit of the kernel" // Name is an RLIMIT_*, Of the hard limit
	MemoryNodes Kind = "memory nodes"        // Name is a list such as 0-3,7
	Socket      Kind = "socket of the host"  // Name is its path
	Writable    Kind = "writable folder"     // Name is a path of the host, which may be missing
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Feature, FileSystem, Disk, Source, Path, Namespace, NamespaceFile, UserIDs, GroupIDs,
		Capability, Program, Directory, HostProgram, Device, AppArmor, SELinux, SeccompAction, SeccompFlag,
		Interface, Resctrl, Processors, Clock, Limit, MemoryNodes, Socket, Writable}
}

// A Need is one thing that a container needs from the host.
type Need struct {
	Kind Kind
	Name string
	Of   string
	IDs  []specs.LinuxIDMapping
	// Paths are the possible paths of a program, in this order. For a program that is given as a
	// path it is that one, and an error is about the path.
	Paths []string
}

// A Requirement is a need, and its origin.
type Requirement struct {
	// Path is the JSON path in config.json, "" for what every container needs.
	Path string
	Need
	// Minor is set for a need without which the container runs, although not as intended.
	Minor bool
}

// Caller describes the user that creates the container.
type Caller struct {
	UID, GID uint32
	// Unprivileged is set when it lacks CAP_SYS_ADMIN, Nested when its user namespace is not the
	// initial one.
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

// Of returns the needs of a bundle, in the order of the specification's sections. The bundle may
// have faults.
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
