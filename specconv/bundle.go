// Package specconv turns a bundle's config.json into a validated Bundle.
//
// The whole file is checked and every fault is reported with its JSON path; what needs parsing (mount options,
// namespaces, signals, capability names) becomes small typed values beside the runtime-spec types, which stay the one
// description of a container. Apart from Load and LoadFile, which read config.json, nothing here touches the host.
package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Bundle is a container as its config.json describes it, validated.
type Bundle struct {
	// Dir is the absolute path of the bundle's folder.
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
	// Warnings tell what is no fault, yet the user should know: something that was asked for is not done.
	Warnings []string
	// Notes are for a log. The container has fewer rights than asked for, as the kernel would have it, or what was
	// meant is done although it is written in another way.
	Notes []string
}

// Namespace returns the bundle's namespace of type t, and whether there is one: without one, the container shares the
// runtime's.
func (b *Bundle) Namespace(t specs.LinuxNamespaceType) (Namespace, bool) {
	for _, n := range b.Namespaces {
		if n.Type == t {
			return n, true
		}
	}
	return Namespace{}, false
}
