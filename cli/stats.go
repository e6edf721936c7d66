package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/console"
)

func (p *program) statsCommand() *cli.Command {
	return &cli.Command{
		Name:      "stats",
		Usage:     "show what containers use",
		ArgsUsage: "[" + idUsage + "...]",
		Description: "Shows a table of the named containers, or of all that run in a cgroup, and updates it after each interval; on a terminal it does so in " +
			"place. It exits when none of the named containers runs.\n\n" +
			"CPU is the share of one CPU's time in the last interval: 200% is the time of two CPUs. MEMORY is the memory in use, without the page cache that " +
			"the kernel reclaims first; a limit \"max\" is none. PIDS counts processes and their threads. NETWORK is what the interfaces of " +
			"the container's network namespace, without \"lo\", have received and sent. DISK is what was read from and written to block devices. " +
			"\"-\" is a value that the kernel does not report.\n\n" +
			"With --format json each update is one line with an array. Sizes are bytes, times nanoseconds, and unknown values null.",
		Flags: []cli.Flag{
			formatFlag("table", "json"),
			&cli.DurationFlag{Name: "interval", Usage: "`TIME` between two updates, such as 500ms, 5s or 1m", Value: time.Second},
			&cli.BoolFlag{Name: "no-stream", Usage: "print the table after one interval and exit"},
		},
		BashComplete: p.completeMoreIDs(live),
		Action:       p.stats,
	}
}

func (p *program) stats(ctx *cli.Context) error {
	interval := ctx.Duration("interval")
	if interval <= 0 {
		return usagef("stats: --interval %v: must be greater than 0", interval)
	}
	m := &meter{program: p, last: map[string]sample{}}
	for _, id := range ctx.Args().Slice() {
		container, err := m.program.runtime().Load(id)
		if err != nil {
			return err
		}
		m.named = append(m.named, container)
	}
	show := p.showTable()
	if ctx.String("format") == "json" {
		show = json.NewEncoder(p.stdout).Encode
	}
	// The first share needs two samples.
	rows, err := m.measure(true)
	if err != nil {
		return err
	}
	p.log.succeed() // what fails from now on is worth a line in the log at once
	if ctx.Bool("no-stream") {
		time.Sleep(interval)
		if rows, err = m.measure(false); err != nil {
			return err
		}
		return show(rows)
	}
	for tick := time.NewTicker(interval); ; <-tick.C {
		if err := show(rows); err != nil {
			return err
		}
		if len(rows) == 0 && len(m.named) > 0 {
			return nil
		}
		if rows, err = m.measure(false); err != nil {
			return err
		}
	}
}

// A meter measures containers repeatedly.
type meter struct {
	program *program
	named   []*libcontainer.Container // empty: all containers
	last    map[string]sample
}

// sample is a reading of the CPU time.
type sample struct {
	at  time.Time
	cpu uint64 // nanoseconds
}

// measure returns a row for each running container. With strict, a named container that does not
// run is an error.
func (m *meter) measure(strict bool) ([]statsRow, error) {
	containers := m.named
	if len(containers) == 0 {
		var err error
		if containers, err = m.program.runtime().List(); err != nil {
			return nil, err
		}
		strict = false
	}
	rows := make([]statsRow, 0, len(containers)) // not nil: an empty array, not null
	last := make(map[string]sample, len(containers))
	for _, container := range containers {
		s, err := container.Stats()
		switch {
		case err == nil:
		case strict:
			return nil, err
		case errors.Is(err, libcontainer.ErrNotRunning), errors.Is(err, libcontainer.ErrNotExist), errors.Is(err, libcontainer.ErrNoCgroup):
			continue
		default:
			// A damaged container must not hide the others.
			m.program.log.warn(err.Error())
			continue
		}
		row, now := newRow(container.ID(), s), sample{s.Time, s.CPU.Usage.Total}
		row.CPUPercent = share(m.last[row.ID], now)
		last[row.ID] = now
		rows = append(rows, row)
	}
	m.last = last
	return rows, nil
}

// share returns the percentage of one CPU's time between two samples, or nil if they are not two
// samples of one container.
func share(before, now sample) *float64 {
	wall := now.at.Sub(before.at)
	if before.at.IsZero() || wall <= 0 || now.cpu < before.cpu { // another container with the same ID
		return nil
	}
	percent := 100 * float64(now.cpu-before.cpu) / float64(wall)
	return &percent
}

// showTable returns a function that writes a table. On a terminal, each table replaces the one
// before.
func (p *program) showTable() func(any) error {
	var height int // of what is on the screen
	return func(v any) error {
		rows, ok := v.([]statsRow)
		if !ok {
			return fmt.Errorf("stats: %T is not a table", v)
		}
		text := statsTable(rows)
		if size, err := console.GetSize(p.stdout); err == nil {
			text, height = redraw(text, height, int(size.Col), int(size.Row))
		}
		_, err := p.stdout.WriteString(text)
		return err
	}
}
