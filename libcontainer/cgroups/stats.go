package cgroups

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Stats is what the kernel has counted for a cgroup and those below it. Encoded as JSON it equals
// the data of `runc events --stats`, which engines decode, in names, units and omitted zeros.
//
// Every number is one of the kernel's. What the kernel does not have is zero or absent: a
// controller that is not mounted or not delegated, a file of another version. A limit that is not
// set is math.MaxUint64, except for PidsStats.Limit; on v1 a missing memory limit is somewhat less
// than math.MaxInt64, as that kernel reports it.
type Stats struct {
	CPU     CPUStats                `json:"cpu"`
	CPUSet  CPUSetStats             `json:"cpuset"`
	Memory  MemoryStats             `json:"memory"`
	Pids    PidsStats               `json:"pids"`
	BlockIO BlockIOStats            `json:"blkio"`
	HugeTLB map[string]HugeTLBStats `json:"hugetlb"` // by page size: "2MB"

	// Time is when CPU.Usage was read, for computing a share of the processors' time.
	Time time.Time `json:"-"`
}

// Stats reads the cgroup's counters, on v1, cgroup2 and both beside each other: each controller
// where it is. A cgroup that is gone, or disappears meanwhile, has no numbers and is no error: a
// caller that must know checks its processes afterwards.
func (m *Manager) Stats() (*Stats, error) {
	s := &Stats{HugeTLB: map[string]HugeTLBStats{}}
	for _, controller := range [...]struct {
		name   string
		v1, v2 func(*counters, *Stats)
	}{
		{"cpuacct", cpuacctStatsV1, cpuUsageStatsV2},
		{"cpu", cpuStatsV1, cpuStatsV2},
		{"cpuset", cpusetStatsV1, cpusetStatsV2},
		{"memory", memoryStatsV1, memoryStatsV2},
		{"pids", pidsStats, pidsStatsV2},
		{"blkio", blkioStatsV1, ioStatsV2},
		{"hugetlb", hugetlbStatsV1, hugetlbStatsV2},
	} {
		f, v := m.controllerDirectory(controller.name)
		if f == nil {
			continue
		}
		read := controller.v1
		if v == v2 {
			read = controller.v2
		}
		c := counters{dir: f.dir}
		if read(&c, s); c.err != nil {
			return nil, c.err
		}
		if s.Time.IsZero() { // cpuacct is the first
			s.Time = time.Now()
		}
	}
	if m.unified.dir != "" {
		c := counters{dir: m.unified.dir}
		if pressureStats(&c, s); c.err != nil {
			return nil, c.err
		}
	}
	return s, nil
}

// counters reads the files of one cgroup directory. A missing file is no error; the first other
// error stays, and nothing is read after it.
type counters struct {
	dir string
	err error
}

// text returns a file's content; false means that there is none.
func (c *counters) text(file string) (string, bool) {
	if c.err != nil {
		return "", false
	}
	text, present, err := readPresent(c.dir + "/" + file)
	c.err = err
	return text, present
}

// parse parses a file's content; false means that there is none, or that it is invalid.
func (c *counters) parse(file string, parse func(text string) error) bool {
	text, ok := c.text(file)
	if !ok {
		return false
	}
	if err := parse(text); err != nil {
		c.err = fmt.Errorf("read %s/%s: %w", c.dir, file, err)
		return false
	}
	return true
}

// parseInto sets a value from a file's content without the newline at its end. Without such a file it
// leaves the value unchanged and returns false.
func parseInto[T any](c *counters, file string, to *T, parse func(text string) (T, error)) bool {
	return c.parse(file, func(text string) (err error) {
		*to, err = parse(strings.TrimSuffix(text, "\n"))
		return err
	})
}

// number is parseInto for a file with one number.
func (c *counters) number(file string, n *uint64) bool { return parseInto(c, file, n, parseNumber) }

// keyed reads numbers of a file of lines "KEY NUMBER", by their keys.
func (c *counters) keyed(file string, to map[string]*uint64) {
	c.parse(file, func(text string) error { return parseKeyed(text, to) })
}

// parseKeyed is parseFlat for some of the keys.
func parseKeyed(text string, to map[string]*uint64) error {
	return parseFlat(text, func(key string, n uint64) {
		if p := to[key]; p != nil {
			*p = n
		}
	})
}

// parseNumber parses a number; "max" is math.MaxUint64. A negative one is 0: the kernel prints sums
// of per-processor counters, which can be negative for a moment.
func parseNumber(s string) (uint64, error) {
	if s == "max" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		if negative, ok := strings.CutPrefix(s, "-"); ok {
			if _, err := strconv.ParseUint(negative, 10, 64); err == nil {
				return 0, nil
			}
		}
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

// parseFlat parses what cgroup-v2.rst calls a flat keyed file; v1 has them, too.
func parseFlat(text string, each func(key string, n uint64)) error {
	for line := range nonEmptyLines(text) {
		key, value, _ := strings.Cut(line, " ")
		n, err := parseNumber(value)
		if err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		each(key, n)
	}
	return nil
}

// nonEmptyLines iterates over a text's lines, without their ends.
func nonEmptyLines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" && !yield(line) {
				return
			}
		}
	}
}
