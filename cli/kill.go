package cli

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

func (p *program) killCommand() *command {
	return &command{
		usage:       "send a signal to a container's first process",
		argsUsage:   idUsage + " [SIGNAL]",
		description: "SIGNAL is a name or a number; SIGTERM when there is none.",
		flags: []flag{
			{kind: kindBool, name: "all", short: "a", usage: "send it to all processes of the container"},
		},
		action: func(args *arguments) error {
			if err := argsFor(args, 1, 2, "the id of a container and a signal"); err != nil {
				return err
			}
			sig := unix.SIGTERM
			if args.NArg() == 2 {
				var err error
				if sig, err = specconv.ParseSignal(args.Get(1)); err != nil {
					return &usageError{"kill: " + err.Error()}
				}
			}
			container, err := p.container(args)
			if err != nil {
				return err
			}
			if args.Bool("all") {
				return container.KillAll(sig)
			}
			return container.Kill(sig)
		},
	}
}
