package cli

import (
	"github.com/orlop/orlop/libcontainer"
)

func (p *program) resumeCommand() *command {
	return &command{
		usage:       "let the processes of a paused container go on",
		argsUsage:   idUsage,
		description: "Thaws the container's cgroup.",
		action:      p.oneContainer((*libcontainer.Container).Resume),
	}
}
