// Package specconv turns a bundle's config.json into a validated Bundle.
//
// The whole file is checked and every fault is reported with its JSON path. What needs parsing
// (mount options, namespaces, signals, capability names) becomes small typed values beside the
// runtime-spec types, which remain the description of a container. Only Load and LoadFile, which
// read config.json, touch the host.
package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Bundle is the validated description of a container.
type Bundle struct {
	// Dir is the absolute path of the bundle directory.
	Dir string
	// Spec is config.json as read; optional sections may be nil.
	Spec *specs.Spec
	// Rootfs is the absolute path of root.path.
	Rootfs string
	// Mounts are Spec.Mounts, parsed: same order, same index.
	Mounts []Mount
	// Namespaces are Spec.Linux.Namespaces: same order, same index.
	Namespaces []Namespace
	// NetDevices are Spec.Linux.NetDevices, sorted by Host.
	NetDevices []NetDevice
	// Warnings are for the user: they name what was asked for and is not done, without being a
	// fault.
	Warnings []string
	// Notes are for a log: the container has fewer rights than asked for, as the kernel demands, or
	// the configuration spells in an unusual way what is done.
	Notes []string
}

// Namespace returns the bundle's namespace of type t, and whether it has one. Without one, the
// container shares the runtime's.
func (b *Bundle) Namespace(t specs.LinuxNamespaceType) (Namespace, bool) {
	for _, n := range b.Namespaces {
		if n.Type == t {
			return n, true
		}
	}
	return Namespace{}, false
}
