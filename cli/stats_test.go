package cli

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/cgroups"
)

func exampleStats() *libcontainer.Stats {
	s := &libcontainer.Stats{NetworkInterfaces: []libcontainer.NetworkInterface{
		{Name: "lo", RxBytes: 5, TxBytes: 5}, {Name: "eth0", RxBytes: 2048, TxBytes: 10}, {Name: "eth1", RxBytes: 1024}}}
	s.CPU.Usage.Total = 1500
	s.Memory.Usage = cgroups.MemoryEntry{Usage: 30 << 20, Limit: 64 << 20}
	s.Memory.Raw = map[string]uint64{"inactive_file": 14 << 20}
	s.Pids = cgroups.PidsStats{Current: 3, Limit: 100}
	s.BlockIO.IoServiceBytesRecursive = []cgroups.BlockIOEntry{{Major: 8, Op: "Read", Value: 1 << 30}, {Major: 8, Op: "Write", Value: 7},
		{Major: 8, Op: "Total", Value: 1<<30 + 7}, {Major: 9, Op: "Read", Value: 1 << 30}}
	return s
}

func TestStatsTable(t *testing.T) {
	full, bare, unlimited := newRow("web-1", exampleStats()), newRow("a", &libcontainer.Stats{}), exampleStats()
	now := time.Now()
	full.CPUPercent = share(sample{now, 1e9}, sample{now.Add(2 * time.Second), 4e9})
	unlimited.Memory.Usage.Limit = 9223372036854771712
	unlimited.Pids.Limit = 0
	v2 := exampleStats()
	v2.Memory.Usage.Limit = math.MaxUint64
	rows := []statsRow{full, bare, newRow("v1", unlimited), newRow("v2", v2)}
	want := `ID     CPU      MEMORY / LIMIT     PIDS / MAX  NETWORK RX / TX    DISK READ / WRITTEN
web-1  150.00%  16.0MiB / 64.0MiB  3 / 100     3.00KiB / 10B      2.00GiB / 7B
a      -        - / max            0 / max     - / -              0B / 0B
v1     -        16.0MiB / max      3 / max     3.00KiB / 10B      2.00GiB / 7B
v2     -        16.0MiB / max      3 / 100     3.00KiB / 10B      2.00GiB / 7B
`
	if got := statsTable(rows); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got, err := json.Marshal(rows[:2])
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `[{"id":"web-1","cpuPercent":150,"cpuTime":1500,"memoryUsage":16777216,"memoryLimit":67108864,"memoryPercent":25,` +
		`"pids":3,"pidsLimit":100,"netReceived":3072,"netSent":10,"blockRead":2147483648,"blockWritten":7},` +
		`{"id":"a","cpuPercent":null,"cpuTime":0,"memoryUsage":null,"memoryLimit":null,"memoryPercent":null,` +
		`"pids":0,"pidsLimit":null,"netReceived":null,"netSent":null,"blockRead":0,"blockWritten":0}]`
	if string(got) != wantJSON {
		t.Errorf("got\n%s\nwant\n%s", got, wantJSON)
	}
}

func TestShare(t *testing.T) {
	now := time.Now()
	for name, before := range map[string]sample{"first": {}, "another container": {now.Add(-time.Second), 10}, "no time between": {now, 1}} {
		if got := share(before, sample{now, 5}); got != nil {
			t.Errorf("%s: %v, want none", name, *got)
		}
	}
}

func TestByteSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.00KiB", 1536: "1.50KiB", 10 << 10: "10.0KiB", 10234: "9.99KiB", 10239: "10.0KiB",
		102348: "99.9KiB", 102399: "100KiB", 1023 << 10: "1023KiB", 1048575: "1.00MiB", 1 << 20: "1.00MiB", math.MaxUint64: "16.0EiB"} {
		if got := byteSize(&n, "max"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := byteSize(nil, "max"); got != "max" {
		t.Errorf("none: %s", got)
	}
}

// screen is a terminal that understands what redraw writes.
type screen struct {
	t             *testing.T
	lines         []string
	row, columns  int
	height, first int
}

func (s *screen) write(text string) {
	s.t.Helper()
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b[K"):
			text = text[3:] // redraw has written the line
		case strings.HasPrefix(text, "\x1b[J"):
			s.lines, text = s.lines[:s.row], text[3:]
		case strings.HasPrefix(text, "\x1b["):
			number, rest, _ := strings.Cut(text[2:], "A")
			if s.row -= int(number[0] - '0'); s.row < s.first {
				s.t.Fatalf("cursor goes up to %d, and the screen begins at %d", s.row, s.first)
			}
			text = rest
		case text[0] == '\r':
			text = text[1:]
		case text[0] == '\n':
			s.row, text = s.row+1, text[1:]
			s.first = max(s.first, s.row-s.height+1)
		default:
			end := strings.IndexAny(text, "\x1b\r\n")
			if end > s.columns {
				s.t.Fatalf("line %q is broken by the terminal", text[:end])
			}
			s.lines = append(s.lines[:min(s.row, len(s.lines))], append([]string{text[:end]}, s.lines[min(s.row+1, len(s.lines)):]...)...)
			text = text[end:]
		}
	}
}

func TestRedraw(t *testing.T) {
	s := &screen{t: t, columns: 8, height: 5, row: 3, first: 0, lines: []string{"$ a", "b", "$ stats"}}
	before := 0
	show := func(text, want string) {
		t.Helper()
		var out string
		out, before = redraw(text, before, s.columns, s.height)
		s.write(out)
		if got := strings.Join(s.lines, "\n"); got != "$ a\nb\n$ stats\n"+want {
			t.Fatalf("%q: the screen shows\n%s\nwant\n%s", text, got, want)
		}
	}
	show("HEAD\none\n", "HEAD\none")
	show("HEAD\none\ntwo\n", "HEAD\none\ntwo")
	show("HEAD\n", "HEAD")
	show("HEAD\nlonger than the screen\n", "HEAD\nlonger t")
	show("HEAD\n1\n2\n3\n", "HEAD\n1\n2\n3")
	show("HEAD\n1\n2\n3\n4\n5\n", "HEAD\n1\n2\n... and ")
	show("HEAD\none\n", "HEAD\none")
}
