package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// statsRow is a container's row in the output of `stats --format json`.
type statsRow struct {
	ID            string
	CPUPercent    *float64
	CPUTime       uint64
	MemoryUsage   *uint64
	MemoryLimit   *uint64
	MemoryPercent *float64
	Pids          uint64
	PidsLimit     *uint64
	NetReceived   *uint64
	NetSent       *uint64
	BlockRead     uint64
	BlockWritten  uint64
}

// rows parses a line of `stats --format json`.
func rows(t *testing.T, line string) []statsRow {
	t.Helper()
	var list []statsRow
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return list
}

// inOneRoot makes boxes whose containers are in the first one's state directory.
func inOneRoot(t *testing.T, n int, changes ...func(*specs.Spec)) []*harness.Box {
	t.Helper()
	boxes := make([]*harness.Box, n)
	for i := range boxes {
		boxes[i] = harness.New(t, changes...)
		boxes[i].Root = boxes[0].Root
	}
	return boxes
}

// TestStats: numbers of busy and idle containers, named or all, from one process.
func TestStats(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	limit := int64(7)
	boxes := inOneRoot(t, 4, smallMemory, func(s *specs.Spec) { s.Linux.Resources.Pids.Limit = &limit })
	idle, burner, holder, stopped := boxes[0], boxes[1], boxes[2], boxes[3]
	idle.Up()
	// Half of one processor, exactly, by a quota.
	quota, period := int64(25000), uint64(50000)
	burner.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	burner.Up(harness.Sh("echo up; while :; do :; done"))
	holder.Up(harness.Sh("x=0123456789abcdef; i=0; while [ $i -lt 19 ]; do x=$x$x; i=$((i+1)); done; echo up; read line; sleep 1000 & wait"))
	pid := stopped.Up()
	stopped.OK("kill", stopped.ID, "KILL")
	stopped.WaitGone(pid)

	before := rows(t, idle.OK("stats", "--no-stream", "--format", "json", "--interval", "1ms", burner.ID))[0]
	list := rows(t, idle.OK("stats", "--no-stream", "--format", "json", "--interval", "1s"))
	if len(list) != 3 {
		t.Fatalf("%d rows, want the 3 that run: %+v", len(list), list)
	}
	for i, b := range boxes[:3] {
		r := list[i]
		if r.ID != b.ID || r.CPUPercent == nil || r.CPUTime == 0 || r.PidsLimit == nil || *r.PidsLimit != 7 ||
			r.MemoryLimit == nil || *r.MemoryLimit != memoryLimit || *r.MemoryUsage == 0 || *r.MemoryUsage > memoryLimit ||
			r.NetReceived == nil || *r.NetReceived != 0 {
			t.Errorf("row %d, of %s: %+v", i, b.ID, r)
		}
	}
	if share := *list[0].CPUPercent; share > 5 {
		t.Errorf("idle: %.1f%% of a processor", share)
	}
	// How much of its quota it gets depends on the load; what it got in all this time is a bound.
	if share, most := *list[1].CPUPercent, float64(list[1].CPUTime-before.CPUTime)/1e7; share <= 0 || share > 60 || share > most+5 {
		t.Errorf("burner: %.1f%% of a processor, with a quota of 50%% and %.1f%% since before", share, most)
	}
	if used := *list[2].MemoryUsage; used < 8<<20 {
		t.Errorf("holder: %d bytes of memory, and it has 8 MiB in a variable", used)
	}
	if share := *list[2].MemoryPercent; share < 20 || share > 100 {
		t.Errorf("holder: %.1f%% of its memory", share)
	}
	if list[0].Pids != 2 || list[1].Pids != 1 {
		t.Errorf("tasks: %d, %d, want 2, 1", list[0].Pids, list[1].Pids)
	}

	// Only the named ones, in this order.
	list = rows(t, idle.OK("stats", "--no-stream", "--format", "json", "--interval", "10ms", holder.ID, idle.ID))
	if len(list) != 2 || list[0].ID != holder.ID || list[1].ID != idle.ID {
		t.Errorf("named: %+v", list)
	}
	table := idle.OK("stats", "--no-stream", "--interval", "10ms", idle.ID)
	want := `^ID +CPU +MEMORY / LIMIT +PIDS / MAX +NETWORK RX / TX +DISK READ / WRITTEN\n` +
		regexp.QuoteMeta(idle.ID) + ` +\d+\.\d\d% +[\d.]+[KM]?i?B / 32\.0MiB +2 / 7 +0B / 0B +[\d.]+[KM]?i?B / [\d.]+[KM]?i?B\n$`
	if !regexp.MustCompile(want).MatchString(table) {
		t.Errorf("table:\n%s", table)
	}
	idle.Fails("does not exist", "stats", "--no-stream", idle.ID, "no-such-container")
	idle.Fails("not running", "stats", "--no-stream", idle.ID, stopped.ID)
	idle.Fails("greater than 0", "stats", "--interval", "-1s")
	idle.Fails("format", "stats", "--format", "xml")
}

// TestStatsStream: stopped containers disappear, and the stream of named ones ends with the last
// one; that of all containers continues with new ones.
func TestStatsStream(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	boxes := inOneRoot(t, 2)
	start := func(args ...string) (*harness.Process, *harness.Lines) {
		lines := boxes[0].Lines()
		c := boxes[0].Cmd(append([]string{"stats", "--format", "json", "--interval", "30ms"}, args...)...)
		c.Stdout = lines.Writer
		p := c.Start()
		lines.Writer.Close()
		return p, lines
	}
	ids := func(line string) string {
		var list []string
		for _, r := range rows(t, line) {
			list = append(list, r.ID)
		}
		return strings.Join(list, " ")
	}
	until := func(lines *harness.Lines, want string) {
		t.Helper()
		for deadline := time.Now().Add(hang.Limit); ; {
			if got := ids(lines.Next()); got == want {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("rows of %q, want %q", got, want)
			}
		}
	}
	one, two := boxes[0].ID, boxes[1].ID
	all, allLines := start()
	until(allLines, "")
	boxes[0].Up()
	until(allLines, one)
	boxes[1].Up()
	until(allLines, one+" "+two)

	named, namedLines := start(one, two)
	until(namedLines, one+" "+two)
	if r := rows(t, namedLines.Next()); r[0].CPUPercent == nil || r[0].NetReceived == nil {
		t.Errorf("second line: %+v", r)
	}
	boxes[0].OK("delete", "--force", one)
	until(namedLines, two)
	boxes[1].OK("delete", "--force", two)
	until(namedLines, "")
	namedLines.End()
	named.Wait().OK(boxes[0])

	until(allLines, "")
	all.Signal(2)
	if r := all.Wait(); r.Status != 128+2 {
		t.Errorf("status %d after SIGINT", r.Status)
	}
}

// TestStatsOnTerminal: each table overwrites the previous one.
func TestStatsOnTerminal(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	b := harness.New(t)
	b.Up()
	pty, name, err := console.NewPty()
	must(t, err)
	defer pty.Close()
	must(t, pty.Resize(console.WinSize{Width: 40, Height: 10}))
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	c := b.Cmd("stats", "--interval", "30ms")
	c.Stdin, c.Stdout, c.Terminal = tty, tty, true
	p := c.Start()
	tty.Close()
	r := bufio.NewReader(pty)
	first := nextLine(t, r)
	if !strings.HasPrefix(first, "\rID") || !strings.HasSuffix(first, "\x1b[K") || len(first) > 40+len("\r\x1b[K") {
		t.Errorf("heading: %q", first)
	}
	if row := nextLine(t, r); !strings.HasPrefix(row, "\r"+b.ID) {
		t.Errorf("row: %q", row)
	}
	for range 2 {
		if again := nextLine(t, r); again != "\x1b[J\x1b[2A"+first {
			t.Errorf("heading: %q, want %q two lines up", again, first)
		}
		nextLine(t, r)
	}
	b.OK("delete", "--force", b.ID)
	p.Signal(2)
	p.Wait()
}

// TestStatsOfMany: one process measures many containers, and does not open more files for more of
// them.
func TestStatsOfMany(t *testing.T) {
	harness.OrlopOnly(t, "others have no such command")
	const many = 8
	boxes := inOneRoot(t, many)
	for _, b := range boxes {
		b.Create()
	}
	c := boxes[0].Cmd("stats", "--no-stream", "--format", "json", "--interval", "10ms")
	c.Wrap = []string{"sh", "-c", `ulimit -n 20; exec "$@"`, "sh"}
	r := c.Run()
	if list := rows(t, r.OK(boxes[0])); len(list) != many {
		t.Errorf("%d rows, want %d", len(list), many)
	}
	if r.Stderr != "" {
		t.Errorf("warnings: %s", r.Stderr)
	}
}
