package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) resumeCommand() *cli.Command {
	return &cli.Command{
		Name:         "resume",
		Usage:        "resume a paused container",
		ArgsUsage:    idUsage,
		Description:  "Thaws the container's cgroup.",
		BashComplete: p.completeIDs(paused),
		Action:       p.oneContainer((*libcontainer.Container).Resume),
	}
}
