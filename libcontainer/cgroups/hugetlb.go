package cgroups

import (
	"os"
	"slices"
	"strconv"
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

// hugepageSizes returns the sizes that this machine has, in the spelling of the control files; for
// messages.
func hugepageSizes() []string {
	entries, err := os.ReadDir("/sys/kernel/mm/hugepages")
	if err != nil {
		return nil
	}
	var sizes []uint64
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), "hugepages-")
		kib, err := strconv.ParseUint(strings.TrimSuffix(name, "kB"), 10, 64)
		if ok && err == nil {
			sizes = append(sizes, kib)
		}
	}
	slices.Sort(sizes)
	var names []string
	for _, kib := range sizes {
		names = append(names, hugepageName(kib))
	}
	return names
}

// hugepageName is the kernel's mem_fmt: the largest unit of KB, MB and GB of which there is at
// least one.
func hugepageName(kib uint64) string {
	switch {
	case kib >= 1<<20:
		return utoa(kib>>20) + "GB"
	case kib >= 1<<10:
		return utoa(kib>>10) + "MB"
	default:
		return utoa(kib) + "KB"
	}
}
