package cgroups

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// BlockIOStats is the I/O of block devices, by device and operation, including the cgroups below.
// cgroup2 and the throttling policy of v1 have the first two lists; the others come from the
// scheduler BFQ, with its debugging.
type BlockIOStats struct {
	IoServiceBytesRecursive []BlockIOEntry `json:"ioServiceBytesRecursive,omitempty"` // bytes
	IoServicedRecursive     []BlockIOEntry `json:"ioServicedRecursive,omitempty"`     // operations
	// IoQueuedRecursive are operations that are waiting now.
	IoQueuedRecursive      []BlockIOEntry `json:"ioQueueRecursive,omitempty"`
	IoServiceTimeRecursive []BlockIOEntry `json:"ioServiceTimeRecursive,omitempty"` // nanoseconds
	IoWaitTimeRecursive    []BlockIOEntry `json:"ioWaitTimeRecursive,omitempty"`    // nanoseconds
	IoMergedRecursive      []BlockIOEntry `json:"ioMergedRecursive,omitempty"`      // operations
	IoTimeRecursive        []BlockIOEntry `json:"ioTimeRecursive,omitempty"`        // milliseconds
	SectorsRecursive       []BlockIOEntry `json:"sectorsRecursive,omitempty"`       // of 512 bytes
	PSI                    *PSIStats      `json:"psi,omitempty"`
}

// BlockIOEntry is one device's number. Op is "Read", "Write" or "Discard"; v1 also has "Sync",
// "Async" and their "Total", or "" where it does not distinguish operations.
type BlockIOEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// blkioStatsV1: kernel document cgroup-v1/blkio-controller.rst. Which files exist, and which of
// them count, depends on the kernel and on the devices' schedulers: each list comes from the first
// of its files that names a device.
func blkioStatsV1(c *counters, s *Stats) {
	b := &s.BlockIO
	for _, source := range [...]struct {
		list  *[]BlockIOEntry
		files []string
	}{
		{&b.IoServiceBytesRecursive, []string{"bfq.io_service_bytes_recursive", "throttle.io_service_bytes_recursive", "throttle.io_service_bytes"}},
		{&b.IoServicedRecursive, []string{"bfq.io_serviced_recursive", "throttle.io_serviced_recursive", "throttle.io_serviced"}},
		{&b.IoQueuedRecursive, []string{"bfq.io_queued_recursive"}},
		{&b.IoServiceTimeRecursive, []string{"bfq.io_service_time_recursive"}},
		{&b.IoWaitTimeRecursive, []string{"bfq.io_wait_time_recursive"}},
		{&b.IoMergedRecursive, []string{"bfq.io_merged_recursive"}},
		{&b.IoTimeRecursive, []string{"bfq.time_recursive"}},
		{&b.SectorsRecursive, []string{"bfq.sectors_recursive"}},
	} {
		for _, file := range source.files {
			if parseInto(c, "blkio."+file, source.list, parseBlkio); len(*source.list) > 0 {
				break
			}
		}
	}
}

// parseBlkio parses lines "MAJOR:MINOR OPERATION NUMBER" or "MAJOR:MINOR NUMBER", and omits the sum
// at the end, "Total NUMBER".
func parseBlkio(text string) ([]BlockIOEntry, error) {
	var list []BlockIOEntry
	for line := range nonEmptyLines(text) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == "Total" {
			continue
		}
		var e BlockIOEntry
		err := errors.New("not a device and a number")
		if len(fields) == 2 || len(fields) == 3 {
			e.Major, e.Minor, err = parseDevice(fields[0])
		}
		if err == nil {
			e.Value, err = parseNumber(fields[len(fields)-1])
		}
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		if len(fields) == 3 {
			e.Op = fields[1]
		}
		list = append(list, e)
	}
	return list, nil
}

// ioStatsV2: kernel document cgroup-v2.rst, "IO Interface Files".
func ioStatsV2(c *counters, s *Stats) {
	c.parse("io.stat", func(text string) error { return parseIOStat(text, &s.BlockIO) })
}

// parseIOStat parses io.stat. The line of an unused device has only the number.
//
//	8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
func parseIOStat(text string, b *BlockIOStats) error {
	ops := map[string]string{"r": "Read", "w": "Write", "d": "Discard"}
	lists := map[string]*[]BlockIOEntry{"bytes": &b.IoServiceBytesRecursive, "ios": &b.IoServicedRecursive}
	for line := range nonEmptyLines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		major, minor, err := parseDevice(fields[0])
		if err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			first := key[:min(1, len(key))]
			op, list := ops[first], lists[key[len(first):]]
			if op == "" || list == nil { // of the io.cost and io.latency policies
				continue
			}
			n, err := parseNumber(value)
			if err != nil {
				return fmt.Errorf("line %q: %s: %w", line, key, err)
			}
			*list = append(*list, BlockIOEntry{Major: major, Minor: minor, Op: op, Value: n})
		}
	}
	return nil
}

// parseDevice parses "MAJOR:MINOR".
func parseDevice(s string) (major, minor uint64, err error) {
	first, second, _ := strings.Cut(s, ":")
	major, err1 := strconv.ParseUint(first, 10, 32)
	minor, err2 := strconv.ParseUint(second, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%q is not a device", s)
	}
	return major, minor, nil
}
