package cli

import (
	"github.com/urfave/cli/v2"
)

func (p *program) pauseCommand() *cli.Command {
	return &cli.Command{
		Usage:       "stop all processes of a container until resume",
		ArgsUsage:   idUsage,
		Description: "Freezes the container's cgroup.",
		Action: func(c *cli.Context) error {
			if err := oneID(c); err != nil {
				return err
			}
			container, err := p.container(c)
			if err != nil {
				return err
			}
			return container.Pause()
		},
	}
}
