package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Unapplied names the fields of r that no current kernel supports, each with the reason, so nothing
// is left out silently. Everything that a kernel supports is either applied or an error. Unset
// fields, and zero values that mean "unset", are not named.
func Unapplied(r *specs.LinuxResources) []string {
	if r == nil || r.Memory == nil {
		return nil
	}
	var fields []string
	//nolint:staticcheck // deprecated, yet it may be there
	if isSet(r.Memory.Kernel) {
		fields = append(fields, memoryField+"kernel: not applied: kernels since 5.16 have no such limit")
	}
	if use := r.Memory.UseHierarchy; use != nil && !*use {
		fields = append(fields, memoryField+"useHierarchy: not applied: since kernel 5.11 a cgroup always counts for those above it")
	}
	return fields
}
