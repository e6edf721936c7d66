package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) startCommand() *cli.Command {
	return &cli.Command{
		Usage:       "start the program of a container that was created",
		ArgsUsage:   idUsage,
		Description: "Lets the process that create made execute config.json's program, and returns when it has done so.",
		Action: p.oneContainer(func(container *libcontainer.Container) error {
			closeOnExec()
			return container.Start()
		}),
	}
}
