package cgroups

import (
	"math"
	"strings"
)

// PidsStats counts tasks: processes and their threads.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"` // 0: none
}

// pidsStats: kernel document cgroup-v1/pids.rst; the files are the same in cgroup2.
func pidsStats(c *counters, s *Stats) {
	p := &s.Pids
	c.number("pids.current", &p.Current)
	c.number("pids.max", &p.Limit)
	if p.Limit == math.MaxUint64 {
		p.Limit = 0
	}
}

func pidsStatsV2(c *counters, s *Stats) {
	pidsStats(c, s)
	if s.Pids.Current == 0 {
		// Without the controller there is still a list of threads. It omits the cgroups below.
		if text, ok := c.text("cgroup.threads"); ok {
			s.Pids.Current = uint64(strings.Count(text, "\n"))
		}
	}
}
