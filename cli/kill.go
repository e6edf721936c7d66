package cli

import (
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

func (p *program) killCommand() *cli.Command {
	return &cli.Command{
		Usage:       "send a signal to a container's first process",
		ArgsUsage:   idUsage + " [SIGNAL]",
		Description: "SIGNAL is a name or a number; SIGTERM when there is none.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send it to all processes of the container"},
		},
		Action: func(c *cli.Context) error {
			if err := argsFor(c, 1, 2, "the id of a container and a signal"); err != nil {
				return err
			}
			sig := unix.SIGTERM
			if c.NArg() == 2 {
				var err error
				if sig, err = specconv.ParseSignal(c.Args().Get(1)); err != nil {
					return &usageError{"kill: " + err.Error()}
				}
			}
			container, err := p.container(c)
			if err != nil {
				return err
			}
			if c.Bool("all") {
				return container.KillAll(sig)
			}
			return container.Kill(sig)
		},
	}
}
