package specconv

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// memoryModes is the table of set_mempolicy(2)'s modes, with the nodes that each one needs.
var memoryModes = vocabulary[specs.MemoryPolicyModeType, memoryMode]{
	{specs.MpolDefault, memoryMode{unix.MPOL_DEFAULT, noNodes}},
	{specs.MpolBind, memoryMode{unix.MPOL_BIND, needsNodes}},
	{specs.MpolInterleave, memoryMode{unix.MPOL_INTERLEAVE, needsNodes}},
	{specs.MpolWeightedInterleave, memoryMode{unix.MPOL_WEIGHTED_INTERLEAVE, needsNodes}}, // since Linux 6.9
	{specs.MpolPreferred, memoryMode{unix.MPOL_PREFERRED, takesNodes}},
	{specs.MpolPreferredMany, memoryMode{unix.MPOL_PREFERRED_MANY, needsNodes}}, // since Linux 5.15
	{specs.MpolLocal, memoryMode{unix.MPOL_LOCAL, noNodes}},
}

type memoryMode struct {
	mode  int
	nodes nodeRule
}

type nodeRule uint8

const (
	noNodes nodeRule = iota
	takesNodes
	needsNodes
)

// memoryFlags is the table of set_mempolicy(2)'s flags.
var memoryFlags = vocabulary[specs.MemoryPolicyFlagType, int]{
	{specs.MpolFNumaBalancing, unix.MPOL_F_NUMA_BALANCING}, // since Linux 5.12
	{specs.MpolFRelativeNodes, unix.MPOL_F_RELATIVE_NODES},
	{specs.MpolFStaticNodes, unix.MPOL_F_STATIC_NODES},
}

// MemoryPolicyMode returns the number of a memory policy by name, and whether the name is known.
func MemoryPolicyMode(name specs.MemoryPolicyModeType) (int, bool) {
	m, ok := memoryModes.value(name)
	return m.mode, ok
}

// MemoryPolicyFlag returns a flag of memory policies by name, and whether the name is known.
func MemoryPolicyFlag(name specs.MemoryPolicyFlagType) (int, bool) { return memoryFlags.value(name) }

// MemoryPolicyModes returns the names of all memory policies.
func MemoryPolicyModes() []string { return memoryModes.names() }

// MemoryPolicyFlags returns the names of all flags of memory policies.
func MemoryPolicyFlags() []string { return memoryFlags.names() }

// memoryPolicy checks linux.memoryPolicy.
func (c *checker) memoryPolicy(m *specs.LinuxMemoryPolicy) {
	if m == nil {
		return
	}
	const path = "linux.memoryPolicy"
	c.ranges(path+".nodes", m.Nodes)
	mode, known := memoryModes.value(m.Mode)
	switch {
	case !known:
		c.fault(path+".mode", oneOf(string(m.Mode), MemoryPolicyModes()...))
	case mode.nodes == noNodes && m.Nodes != "":
		c.fault(path+".nodes", "must be empty for "+string(m.Mode))
	case mode.nodes == needsNodes && m.Nodes == "":
		c.fault(path+".nodes", "is required for "+string(m.Mode))
	}
	c.memoryFlags(path+".flags", m, known)
}

// memoryFlags checks linux.memoryPolicy.flags with the rules of the kernel's sanitize_mpol_flags
// and mpol_new.
func (c *checker) memoryFlags(path string, m *specs.LinuxMemoryPolicy, known bool) {
	set := 0
	for i, name := range m.Flags {
		flag, ok := MemoryPolicyFlag(name)
		if !ok {
			c.fault(jsonpath.Index(path, i), oneOf(string(name), MemoryPolicyFlags()...))
		}
		set |= flag
		if flag == unix.MPOL_F_NUMA_BALANCING && known && m.Mode != specs.MpolBind && m.Mode != specs.MpolPreferredMany {
			c.fault(jsonpath.Index(path, i), string(name)+" is only for MPOL_BIND and MPOL_PREFERRED_MANY")
		}
	}
	const fixed = unix.MPOL_F_STATIC_NODES | unix.MPOL_F_RELATIVE_NODES
	switch {
	case set&fixed == fixed:
		c.fault(path, "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	case set&fixed != 0 && m.Nodes == "" && known && m.Mode != specs.MpolDefault:
		c.fault(path, "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes")
	}
}
