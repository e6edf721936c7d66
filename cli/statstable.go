package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/cgroups"
)

// statsRow is one container's row, in the form that --format json prints. nil means that the kernel
// does not report the value, or that there is no limit.
type statsRow struct {
	ID            string   `json:"id"`
	CPUPercent    *float64 `json:"cpuPercent"`
	CPUTime       uint64   `json:"cpuTime"`
	MemoryUsage   *uint64  `json:"memoryUsage"`
	MemoryLimit   *uint64  `json:"memoryLimit"`
	MemoryPercent *float64 `json:"memoryPercent"`
	Pids          uint64   `json:"pids"`
	PidsLimit     *uint64  `json:"pidsLimit"`
	NetReceived   *uint64  `json:"netReceived"`
	NetSent       *uint64  `json:"netSent"`
	BlockRead     uint64   `json:"blockRead"`
	BlockWritten  uint64   `json:"blockWritten"`
}

// noLimit is the least value that means "no limit": v1 reports somewhat less than 2^63, depending
// on the page size, cgroup2 2^64-1.
const noLimit = math.MaxInt64 / 2

func newRow(id string, s *libcontainer.Stats) statsRow {
	r := statsRow{ID: id, CPUTime: s.CPU.Usage.Total, Pids: s.Pids.Current,
		BlockRead: sumOf(s.BlockIO.IoServiceBytesRecursive, "Read"), BlockWritten: sumOf(s.BlockIO.IoServiceBytesRecursive, "Write")}
	if s.Memory.Raw != nil { // nil: no memory controller
		used := s.Memory.WorkingSet()
		r.MemoryUsage = &used
		if limit := s.Memory.Usage.Limit; 0 < limit && limit < noLimit {
			percent := 100 * float64(used) / float64(limit)
			r.MemoryLimit, r.MemoryPercent = &limit, &percent
		}
	}
	if limit := s.Pids.Limit; limit != 0 {
		r.PidsLimit = &limit
	}
	if s.NetworkInterfaces != nil {
		var received, sent uint64
		for _, i := range s.NetworkInterfaces {
			if i.Name != "lo" {
				received, sent = received+i.RxBytes, sent+i.TxBytes
			}
		}
		r.NetReceived, r.NetSent = &received, &sent
	}
	return r
}

func sumOf(entries []cgroups.BlockIOEntry, op string) uint64 {
	var sum uint64
	for _, e := range entries {
		if e.Op == op {
			sum += e.Value
		}
	}
	return sum
}

// statsTable formats the rows. The heading is wide enough for most values, so that columns rarely
// move.
func statsTable(rows []statsRow) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 1, 2, ' ', 0)
	fmt.Fprint(table, "ID\tCPU    \tMEMORY / LIMIT   \tPIDS / MAX\tNETWORK RX / TX  \tDISK READ / WRITTEN\n")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s / %s\t%d / %s\t%s / %s\t%s / %s\n", r.ID, percent(r.CPUPercent),
			byteSize(r.MemoryUsage, "-"), byteSize(r.MemoryLimit, "max"), r.Pids, count(r.PidsLimit, "max"),
			byteSize(r.NetReceived, "-"), byteSize(r.NetSent, "-"), byteSize(&r.BlockRead, ""), byteSize(&r.BlockWritten, ""))
	}
	_ = table.Flush() // a Builder takes everything
	return b.String()
}

func percent(p *float64) string {
	if p == nil {
		return "-"
	}
	return strconv.FormatFloat(*p, 'f', 2, 64) + "%"
}

func count(n *uint64, none string) string {
	if n == nil {
		return none
	}
	return strconv.FormatUint(*n, 10)
}

// byteSize formats a number of bytes with three or four digits: "812B", "1.50KiB", "1023MiB".
func byteSize(n *uint64, none string) string {
	if n == nil {
		return none
	}
	const units = "KMGTPE"
	if *n < 1024 {
		return strconv.FormatUint(*n, 10) + "B"
	}
	value, unit := float64(*n)/1024, 0
	for value >= 1023.5 && unit < len(units)-1 { // 1023.5 would get one more digit
		value, unit = value/1024, unit+1
	}
	decimals := 2
	if value >= 99.95 {
		decimals = 0
	} else if value >= 9.995 {
		decimals = 1
	}
	return strconv.FormatFloat(value, 'f', decimals, 64) + units[unit:unit+1] + "iB"
}

// redraw returns the text with control sequences that write it over the previous one, which had
// this many lines, and the number of its own lines. It cuts off what does not fit the terminal: the
// cursor could not return to lines that wrap or scroll.
func redraw(text string, before, columns, rows int) (string, int) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := max(rows-1, 1); rows > 0 && len(lines) > most { // the cursor stands in the last row
		hidden := len(lines) - most + 1
		lines = append(lines[:max(most-1, 0)], fmt.Sprintf("... and %d more", hidden))
	}
	const up, eraseLine, eraseBelow = "\x1b[%dA", "\x1b[K", "\x1b[J"
	var b strings.Builder
	if before > 0 {
		fmt.Fprintf(&b, up, before)
	}
	for _, line := range lines {
		if columns > 0 && len(line) > columns { // ASCII, as IDs are
			line = line[:columns]
		}
		b.WriteString("\r" + line + eraseLine + "\n")
	}
	b.WriteString(eraseBelow)
	return b.String(), len(lines)
}
