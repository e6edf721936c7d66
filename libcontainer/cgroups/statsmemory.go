package cgroups

import "math"

// MemoryStats is memory in bytes.
//
// Swap is memory and swap together, as v1 counts; on cgroup2 it is the sum of both. Only v1 has
// Kernel and KernelTCP: cgroup2 has its kernel memory in Raw, as "kernel" and "sock".
type MemoryStats struct {
	Cache     uint64      `json:"cache,omitempty"` // file pages, including tmpfs
	Usage     MemoryEntry `json:"usage"`
	Swap      MemoryEntry `json:"swap"`
	Kernel    MemoryEntry `json:"kernel"`
	KernelTCP MemoryEntry `json:"kernelTCP"`
	// Raw is the file memory.stat. Its names differ between v1 and cgroup2; most are bytes, some
	// are events.
	Raw map[string]uint64 `json:"raw,omitempty"`
	PSI *PSIStats         `json:"psi,omitempty"`
}

// MemoryEntry is one kind of memory. cgroup2 does not count in Failcnt how often the limit was
// reached.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"` // maximum usage; on cgroup2 since kernel 5.19
	Failcnt uint64 `json:"failcnt"`
}

// WorkingSet is the memory in use less the file pages that the kernel reclaims first and without
// writing. Engines show it as a container's memory, since unused memory fills with such pages
// anyway.
func (m *MemoryStats) WorkingSet() uint64 {
	// This is v1's, whose plain "inactive_file" omits the cgroups below.
	inactive, ok := m.Raw["total_inactive_file"]
	if !ok {
		inactive = m.Raw["inactive_file"]
	}
	if inactive > m.Usage.Usage { // counted at another moment
		return 0
	}
	return m.Usage.Usage - inactive
}

// memoryStatsV1: kernel document cgroup-v1/memory.rst.
func memoryStatsV1(c *counters, s *Stats) {
	m := &s.Memory
	c.raw(m)
	m.Cache = m.Raw["cache"]
	c.entryV1("memory", &m.Usage)
	c.entryV1("memory.memsw", &m.Swap)
	c.entryV1("memory.kmem", &m.Kernel)
	c.entryV1("memory.kmem.tcp", &m.KernelTCP)
}

func (c *counters) entryV1(prefix string, e *MemoryEntry) {
	if c.number(prefix+".usage_in_bytes", &e.Usage) {
		c.number(prefix+".max_usage_in_bytes", &e.Max)
		c.number(prefix+".failcnt", &e.Failcnt)
		c.number(prefix+".limit_in_bytes", &e.Limit)
	}
}

// memoryStatsV2: kernel document cgroup-v2.rst, "Memory Interface Files".
func memoryStatsV2(c *counters, s *Stats) {
	m := &s.Memory
	c.raw(m)
	m.Cache = m.Raw["file"]
	if c.number("memory.current", &m.Usage.Usage) {
		c.number("memory.max", &m.Usage.Limit)
		c.number("memory.peak", &m.Usage.Max)
	}
	// A kernel without swap lacks the file.
	if c.number("memory.swap.current", &m.Swap.Usage) {
		c.number("memory.swap.max", &m.Swap.Limit)
		m.Swap.Usage += m.Usage.Usage
		m.Swap.Limit = addLimits(m.Swap.Limit, m.Usage.Limit)
	}
}

// addLimits returns the sum of two limits, which is no limit if one of them is none.
func addLimits(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func (c *counters) raw(m *MemoryStats) {
	parseInto(c, "memory.stat", &m.Raw, func(text string) (map[string]uint64, error) {
		raw := make(map[string]uint64, 64)
		return raw, parseFlat(text, func(key string, n uint64) { raw[key] = n })
	})
}
