package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) pauseCommand() *cli.Command {
	return &cli.Command{
		Usage:       "stop all processes of a container until resume",
		ArgsUsage:   idUsage,
		Description: "Freezes the container's cgroup.",
		Action:      p.oneContainer((*libcontainer.Container).Pause),
	}
}
