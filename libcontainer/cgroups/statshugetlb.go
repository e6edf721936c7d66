package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// HugeTLBStats is the use of huge pages of one size, in bytes: the reserved pages.
type HugeTLBStats struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"` // maximum usage; v1 only
	Failcnt uint64 `json:"failcnt"`       // how often the limit was reached
}

// hugetlbStatsV1: kernel document cgroup-v1/hugetlb.rst.
func hugetlbStatsV1(c *counters, s *Stats) {
	for _, size := range c.pageSizes(".usage_in_bytes") {
		var h HugeTLBStats
		prefix := "hugetlb." + size + ".rsvd"
		c.number(prefix+".usage_in_bytes", &h.Usage)
		c.number(prefix+".max_usage_in_bytes", &h.Max)
		c.number(prefix+".failcnt", &h.Failcnt)
		s.HugeTLB[size] = h
	}
}

// hugetlbStatsV2: kernel document cgroup-v2.rst, "HugeTLB Interface Files".
func hugetlbStatsV2(c *counters, s *Stats) {
	for _, size := range c.pageSizes(".current") {
		var h HugeTLBStats
		prefix := "hugetlb." + size
		c.number(prefix+".rsvd.current", &h.Usage)
		c.keyed(prefix+".events", map[string]*uint64{"max": &h.Failcnt})
		s.HugeTLB[size] = h
	}
}

// pageSizes derives the sizes of huge pages from the names of the files.
func (c *counters) pageSizes(suffix string) []string {
	if c.err != nil {
		return nil
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			c.err = fmt.Errorf("read cgroup: %w", err)
		}
		return nil
	}
	var sizes []string
	for _, e := range entries {
		size, ok1 := strings.CutPrefix(e.Name(), "hugetlb.")
		size, ok2 := strings.CutSuffix(size, suffix)
		if ok1 && ok2 && !strings.Contains(size, ".") { // hugetlb.2MB.rsvd.current has one more
			sizes = append(sizes, size)
		}
	}
	return sizes
}
