package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) stateCommand() *cli.Command {
	return &cli.Command{
		Name:         "state",
		Usage:        "print the state of a container",
		ArgsUsage:    idUsage,
		Description:  "Prints the state of the OCI runtime specification, with runc's additions, as JSON.",
		BashComplete: p.completeIDs(anyStatus),
		Action: p.oneContainer(func(container *libcontainer.Container) error {
			s, err := container.Status()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(append(s.JSON(), '\n'))
			return err
		}),
	}
}
