package cgroups

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stats is what the kernel has counted for a cgroup and those below it. Encoded as JSON it is, by names, units and what is left out when it is
// zero, the data that `runc events --stats` prints, which engines decode.
//
// Every number is one of the kernel's. What the kernel doesn't have is zero or absent: a controller that is not mounted or not delegated, a file of another
// version. A limit that isn't there is math.MaxUint64, but for PidsStats.Limit; on v1 a missing limit of memory is somewhat
// less than math.MaxInt64, as that kernel has it.
type Stats struct {
	CPU     CPUStats                `json:"cpu"`
	CPUSet  CPUSetStats             `json:"cpuset"`
	Memory  MemoryStats             `json:"memory"`
	Pids    PidsStats               `json:"pids"`
	BlockIO BlockIOStats            `json:"blkio"`
	HugeTLB map[string]HugeTLBStats `json:"hugetlb"` // by page size: "2MB"

	// Time is when CPU.Usage was read, for whoever works out a share of the processors' time.
	Time time.Time `json:"-"`
}

// Stats reads the cgroup's counters, on v1, cgroup2 and both beside each other: a controller is read where it is. A cgroup that
// is gone, or goes meanwhile, has no numbers and gives no error: whoever must know looks at its processes afterwards.
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
		f, v := m.place(controller.name)
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

// counters reads the files of one cgroup folder. A file that isn't there is no error; the first other error stays, and
// nothing is read after it.
type counters struct {
	dir string
	err error
}

// text returns a file's content; false: there is none.
func (c *counters) text(file string) (string, bool) {
	if c.err != nil {
		return "", false
	}
	text, err := readFile(c.dir + "/" + file)
	switch err {
	case nil:
		return text, true
	case unix.ENOENT, unix.ENODEV: // not of this kernel, or the cgroup has gone
	case unix.EOPNOTSUPP: // pressure that is not counted before somebody boots with psi=1
	default:
		c.err = fmt.Errorf("read %s/%s: %w", c.dir, file, err)
	}
	return "", false
}

// parse has a file's content parsed; false: there is none, or it is wrong.
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

// number reads a file that holds one number into n, which stays as it is when there is no such file.
func (c *counters) number(file string, n *uint64) bool {
	return c.parse(file, func(text string) (err error) {
		*n, err = parseNumber(strings.TrimSuffix(text, "\n"))
		return err
	})
}

// flat reads a file of lines "KEY NUMBER".
func (c *counters) flat(file string, each func(key string, n uint64)) bool {
	return c.parse(file, func(text string) error { return parseFlat(text, each) })
}

// parseNumber reads a number; "max" is math.MaxUint64. A negative one is 0: the kernel prints sums of counters that run apart on
// each processor, which may be less than nothing for a moment.
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

// parseFlat reads what cgroup-v2.rst calls a flat keyed file; v1 has them, too.
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

// nonEmptyLines goes through a text's lines, without their ends.
func nonEmptyLines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" && !yield(line) {
				return
			}
		}
	}
}
