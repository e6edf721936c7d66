package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) pauseCommand() *cli.Command {
	return &cli.Command{
		Name:         "pause",
		Usage:        "suspend all processes of a container",
		ArgsUsage:    idUsage,
		Description:  "Freezes the container's cgroup.",
		BashComplete: p.completeIDs(created | running),
		Action:       p.oneContainer((*libcontainer.Container).Pause),
	}
}
