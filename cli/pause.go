package cli

import (
	"github.com/orlop/orlop/libcontainer"
)

func (p *program) pauseCommand() *command {
	return &command{
		usage:       "stop all processes of a container until resume",
		argsUsage:   idUsage,
		description: "Freezes the container's cgroup.",
		action:      p.oneContainer((*libcontainer.Container).Pause),
	}
}
