package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "report events of a container",
		ArgsUsage: idUsage,
		Description: "Prints a line of JSON for each event until the container stops: \"oom\" when the kernel runs out of memory for it, " +
			"and \"stats\", the kernel's counters, after each interval.",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Usage: "`TIME` between two \"stats\", such as 500ms, 5s or 1m", Value: 5 * time.Second},
			&cli.BoolFlag{Name: "stats", Usage: "print one \"stats\" and exit"},
		},
		BashComplete: p.completeIDs(live),
		Action:       p.events,
	}
}

func (p *program) events(ctx *cli.Context) error {
	if err := oneID(ctx); err != nil {
		return err
	}
	interval := ctx.Duration("interval")
	if interval <= 0 {
		return usagef("events: --interval %v: must be greater than 0", interval)
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	if ctx.Bool("stats") {
		s, err := container.Stats()
		if err != nil {
			return err
		}
		return out.Encode(libcontainer.Event{Type: libcontainer.EventStats, ID: container.ID(), Stats: s})
	}
	for event, err := range container.Events(context.Background(), interval) {
		if err != nil {
			return err
		}
		p.log.succeed() // what fails from now on is worth a line in the log at once
		if err := out.Encode(event); err != nil {
			return err
		}
	}
	return nil
}
