package cli

import (
	"github.com/urfave/cli/v2"
)

func (p *program) startCommand() *cli.Command {
	return &cli.Command{
		Usage:       "start the program of a container that was created",
		ArgsUsage:   idUsage,
		Description: "Lets the process that create made execute config.json's program, and returns when it has done so.",
		Action: func(c *cli.Context) error {
			if err := oneID(c); err != nil {
				return err
			}
			closeOnExec()
			container, err := p.container(c)
			if err != nil {
				return err
			}
			return container.Start()
		},
	}
}
