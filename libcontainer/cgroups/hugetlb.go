package cgroups

import (
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// hugetlb: kernel document cgroup-v1/hugetlb.rst. Pages are limited when they are reserved and when
// they are used.
func (s *settingList) hugetlb(r []specs.LinuxHugepageLimit, v version) {
	file := ".limit_in_bytes"
	if v == v2 {
		file = ".max"
	}
	for i := range r {
		size, limit, field := r[i].Pagesize, utoa(r[i].Limit), "linux.resources."+jsonpath.Index("hugepageLimits", i)
		if size == "" || strings.ContainsAny(size, "/\x00") {
			s.fault("hugetlb", field+".pageSize", size, errFileName)
			continue
		}
		s.add("hugetlb."+size+".rsvd"+file, limit, field).optional = true
		s.add("hugetlb."+size+file, limit, field)
	}
}
