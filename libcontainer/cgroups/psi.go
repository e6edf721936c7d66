package cgroups

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// PSIStats is how long processes waited for a resource (kernel document accounting/psi.rst): Some
// counts the time when at least one did, Full the time when all did. cgroup2 counts it since kernel
// 4.20, also for v1's cgroups beside it.
type PSIStats struct {
	Some PSIData `json:"some"`
	Full PSIData `json:"full"`
}

// PSIData is the share of the last 10, 60 and 300 seconds in percent, and the total in
// microseconds.
type PSIData struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

func pressureStats(c *counters, s *Stats) {
	for _, p := range [...]struct {
		file string
		to   **PSIStats
	}{
		{"cpu.pressure", &s.CPU.PSI},
		{"memory.pressure", &s.Memory.PSI},
		{"io.pressure", &s.BlockIO.PSI},
	} {
		parseInto(c, p.file, p.to, parsePressure)
	}
}

// parsePressure parses a pressure file.
//
//	some avg10=0.00 avg60=0.12 avg300=0.05 total=13924
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=13885
func parsePressure(text string) (*PSIStats, error) {
	p := &PSIStats{}
	for line := range nonEmptyLines(text) {
		kind, rest, _ := strings.Cut(line, " ")
		d := map[string]*PSIData{"some": &p.Some, "full": &p.Full}[kind]
		if d == nil {
			continue
		}
		if err := d.parse(rest); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	return p, nil
}

func (d *PSIData) parse(fields string) (err error) {
	for field := range strings.FieldsSeq(fields) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "avg10":
			d.Avg10, err = parseShare(value)
		case "avg60":
			d.Avg60, err = parseShare(value)
		case "avg300":
			d.Avg300, err = parseShare(value)
		case "total":
			d.Total, err = parseNumber(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func parseShare(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) { // JSON has neither
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}
