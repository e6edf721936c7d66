package cli

import (
	"github.com/urfave/cli/v2"
)

func (p *program) resumeCommand() *cli.Command {
	return &cli.Command{
		Usage:       "let the processes of a paused container go on",
		ArgsUsage:   idUsage,
		Description: "Thaws the container's cgroup.",
		Action: func(c *cli.Context) error {
			if err := oneID(c); err != nil {
				return err
			}
			container, err := p.container(c)
			if err != nil {
				return err
			}
			return container.Resume()
		},
	}
}
