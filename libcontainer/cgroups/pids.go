package cgroups

import specs "github.com/opencontainers/runtime-spec/specs-go"

// pids: kernel document cgroup-v1/pids.rst; the file is the same in cgroup2. 0 is a limit: no fork
// at all.
func (s *settingList) pids(r *specs.LinuxPids) {
	if r.Limit != nil {
		s.add("pids.max", orMax(*r.Limit), "linux.resources.pids.limit")
	}
}
