package cgroups

import (
	"errors"
	"fmt"
	"strings"
)

// CPUStats is the processor time used, and the throttling.
type CPUStats struct {
	Usage      CPUUsage        `json:"usage"`
	Throttling ThrottlingStats `json:"throttling"`
	PSI        *PSIStats       `json:"psi,omitempty"`
}

// CPUUsage is processor time in nanoseconds. Kernel and User are coarser: ticks of 10 ms on v1,
// microseconds on cgroup2. Only v1 counts per processor.
type CPUUsage struct {
	Total        uint64   `json:"total,omitempty"`
	Percpu       []uint64 `json:"percpu,omitempty"`
	PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
	PercpuUser   []uint64 `json:"percpu_user,omitempty"`
	Kernel       uint64   `json:"kernel"`
	User         uint64   `json:"user"`
}

// ThrottlingStats says how often and how long the quota of linux.resources.cpu throttled the
// cgroup.
type ThrottlingStats struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"` // nanoseconds, of all processors
}

// tick is the unit of cpuacct.stat in nanoseconds: USER_HZ is 100 on all architectures that Go
// supports.
const tick = 1e9 / 100

// cpuacctStatsV1: kernel document cgroup-v1/cpuacct.rst.
func cpuacctStatsV1(c *counters, s *Stats) {
	u := &s.CPU.Usage
	c.number("cpuacct.usage", &u.Total)
	c.keyed("cpuacct.stat", map[string]*uint64{"user": &u.User, "system": &u.Kernel})
	u.User *= tick
	u.Kernel *= tick
	parseInto(c, "cpuacct.usage_percpu", &u.Percpu, parseNumbers)
	// Since kernel 4.8.
	c.parse("cpuacct.usage_all", func(text string) (err error) {
		u.PercpuUser, u.PercpuKernel, err = parseUsageAll(text)
		return err
	})
}

func cpuStatsV1(c *counters, s *Stats) {
	t := &s.CPU.Throttling
	c.keyed("cpu.stat", map[string]*uint64{"nr_periods": &t.Periods, "nr_throttled": &t.ThrottledPeriods, "throttled_time": &t.ThrottledTime})
}

// cpuUsageStatsV2: cpu.stat has these three even without the cpu controller.
func cpuUsageStatsV2(c *counters, s *Stats) {
	u := &s.CPU.Usage
	c.keyed("cpu.stat", map[string]*uint64{"usage_usec": &u.Total, "user_usec": &u.User, "system_usec": &u.Kernel})
	u.Total *= 1000
	u.User *= 1000
	u.Kernel *= 1000
}

func cpuStatsV2(c *counters, s *Stats) {
	t := &s.CPU.Throttling
	c.keyed("cpu.stat", map[string]*uint64{"nr_periods": &t.Periods, "nr_throttled": &t.ThrottledPeriods, "throttled_usec": &t.ThrottledTime})
	t.ThrottledTime *= 1000
}

// parseNumbers parses numbers separated by blanks.
func parseNumbers(text string) ([]uint64, error) {
	var list []uint64
	for field := range strings.FieldsSeq(text) {
		n, err := parseNumber(field)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// parseUsageAll parses cpuacct.usage_all: a heading, and a line for each possible processor.
//
//	cpu user system
//	0 3965706 11038668
func parseUsageAll(text string) (user, kernel []uint64, err error) {
	const heading = "cpu user system"
	first := true
	for line := range nonEmptyLines(text) {
		if first {
			if first = false; line != heading {
				return nil, nil, fmt.Errorf("heading %q, not %q", line, heading)
			}
			continue
		}
		n, err := parseNumbers(line)
		if err == nil && len(n) != 3 {
			err = errors.New("not three numbers")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %q: %w", line, err)
		}
		user, kernel = append(user, n[1]), append(kernel, n[2])
	}
	return user, kernel, nil
}
