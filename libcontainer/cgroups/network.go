package cgroups

import (
	"errors"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

const networkField = "linux.resources.network."

// netCls: kernel document cgroup-v1/net_cls.rst. The controller does not exist in cgroup2.
func (s *settingList) netCls(r *specs.LinuxNetwork, v version) {
	if v == v2 {
		s.onlyV1(isSet(r.ClassID), "net_cls", networkField+"classID")
		return
	}
	addNumber(s, "net_cls.classid", r.ClassID, networkField+"classID")
}

// netPrio: kernel document cgroup-v1/net_prio.rst. The interfaces are those of the writer's network
// namespace, as the specification requires. The controller does not exist in cgroup2.
func (s *settingList) netPrio(r *specs.LinuxNetwork, v version) {
	for i := range r.Priorities {
		p, field := &r.Priorities[i], networkField+jsonpath.Index("priorities", i)
		switch {
		case v == v2:
			s.onlyV1(true, "net_prio", field)
		case p.Name == "" || strings.ContainsAny(p.Name, " \t\n"):
			s.fault("net_prio", field+".name", p.Name, errors.New("not the name of a network interface"))
		default:
			s.add("net_prio.ifpriomap", p.Name+" "+utoa(uint64(p.Priority)), field)
		}
	}
}
