package cli

import (
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) resumeCommand() *cli.Command {
	return &cli.Command{
		Usage:       "let the processes of a paused container go on",
		ArgsUsage:   idUsage,
		Description: "Thaws the container's cgroup.",
		Action:      p.oneContainer((*libcontainer.Container).Resume),
	}
}
