package cgroups

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a live cgroup: those that r sets, and no others. Devices change if r
// lists any, and then all rules are replaced: at no moment does a process miss a device that it had
// before and has afterwards, or get an additional one.
//
// On cgroup2, memory.limit without memory.swap leaves the limit of swap as it is, and memory.swap
// without memory.limit is relative to the current limit.
//
// Errors in r are found before anything is written. A limit that cannot be set is a *ResourceError;
// those before it have then been set. Update may be called while another process spawns into the
// cgroup.
func (m *Manager) Update(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	l, err := m.limits(m.complete(r), true)
	if err != nil {
		return err
	}
	return m.apply(r, l, m.write)
}

// complete adds to r the current values that cgroup2 needs together with those of r.
func (m *Manager) complete(r *specs.LinuxResources) *specs.LinuxResources {
	full := *r
	if c := r.CPU; c != nil && isSet(c.Period) && !isSet(c.Quota) && m.version("cpu") == v2 {
		text, _ := readFile(m.unified.dir + "/cpu.max") // "max 100000"; a missing file is fine
		quota, _, _ := strings.Cut(text, " ")
		if n, err := strconv.ParseInt(quota, 10, 64); err == nil {
			cpu := *c
			cpu.Quota, full.CPU = &n, &cpu
		}
	}
	if c := r.Memory; c != nil && c.Swap != nil && *c.Swap > 0 && !isSet(c.Limit) && m.version("memory") == v2 {
		if n, ok := readNumber(m.unified.dir + "/memory.max"); ok {
			memory := *c
			memory.Limit, full.Memory = &n, &memory
		}
	}
	return &full
}
