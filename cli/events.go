package cli

import (
	"context"
	"encoding/json"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) eventsCommand() *command {
	return &command{
		usage:     "tell what happens in a container",
		argsUsage: idUsage,
		description: "Prints a line of JSON for each event, until the container stops: \"oom\" when the kernel has no more memory for it, " +
			"and \"stats\", what the kernel has counted, after each interval.",
		flags: []flag{
			{kind: kindDuration, name: "interval", usage: "`TIME` between two \"stats\", such as 500ms, 5s or 1m", initial: "5s"},
			{kind: kindBool, name: "stats", usage: "print the \"stats\" of now and end"},
		},
		action: p.events,
	}
}

func (p *program) events(args *arguments) error {
	if err := oneID(args); err != nil {
		return err
	}
	interval := args.Duration("interval")
	if interval <= 0 {
		return usagef("events: --interval %v: must be greater than 0", interval)
	}
	container, err := p.container(args)
	if err != nil {
		return err
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	if args.Bool("stats") {
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
