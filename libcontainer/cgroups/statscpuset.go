package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// CPUSetStats is where the cgroup's processes may run and allocate memory. Only v1 has the settings
// other than the two lists; the kernel document cgroup-v1/cpusets.rst explains each.
type CPUSetStats struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

func cpusetStatsV1(c *counters, s *Stats) {
	set := &s.CPUSet
	parseInto(c, "cpuset.cpus", &set.CPUs, parseList)
	parseInto(c, "cpuset.mems", &set.Mems, parseList)
	c.number("cpuset.cpu_exclusive", &set.CPUExclusive)
	c.number("cpuset.mem_hardwall", &set.MemHardwall)
	c.number("cpuset.mem_exclusive", &set.MemExclusive)
	c.number("cpuset.memory_migrate", &set.MemoryMigrate)
	c.number("cpuset.memory_spread_page", &set.MemorySpreadPage)
	c.number("cpuset.memory_spread_slab", &set.MemorySpreadSlab)
	c.number("cpuset.memory_pressure", &set.MemoryPressure)
	c.number("cpuset.sched_load_balance", &set.SchedLoadBalance)
	parseInto(c, "cpuset.sched_relax_domain_level", &set.SchedRelaxDomainLevel, func(text string) (int64, error) {
		return strconv.ParseInt(text, 10, 64) // -1 is its default
	})
}

// cpusetStatsV2: cpuset.cpus is the request, and usually empty; the effective files have the
// result.
func cpusetStatsV2(c *counters, s *Stats) {
	parseInto(c, "cpuset.cpus.effective", &s.CPUSet.CPUs, parseList)
	parseInto(c, "cpuset.mems.effective", &s.CPUSet.Mems, parseList)
}

// parseList parses a list of numbers and ranges: "0-3,8".
func parseList(text string) ([]uint16, error) {
	var list []uint16
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err := errors.Join(err1, err2); err != nil || first > last {
			return nil, fmt.Errorf("%q is not a number or a range", part)
		}
		if len(list) > 0 && first <= uint64(list[len(list)-1]) {
			// This bounds the list's length by the largest number.
			return nil, fmt.Errorf("%q does not rise", text)
		}
		for n := first; n <= last; n++ {
			list = append(list, uint16(n))
		}
	}
	return list, nil
}
