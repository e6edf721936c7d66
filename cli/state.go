package cli

import (
	"github.com/orlop/orlop/libcontainer"
)

func (p *program) stateCommand() *command {
	return &command{
		usage:       "print the state of a container",
		argsUsage:   idUsage,
		description: "Prints the state as the OCI runtime specification has it, and what runc adds to that, as JSON.",
		action: p.oneContainer(func(container *libcontainer.Container) error {
			s, err := container.Status()
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(append(s.JSON(), '\n'))
			return err
		}),
	}
}
