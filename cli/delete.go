package cli

import (
	"github.com/urfave/cli/v2"
)

func (p *program) deleteCommand() *cli.Command {
	return &cli.Command{
		Usage:       "delete a container that does not run",
		ArgsUsage:   idUsage,
		Description: "Removes what there is of a container: its state, its cgroup, and with --force its processes.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill it first if it runs; that there is none is no error"},
		},
		Action: func(c *cli.Context) error {
			if err := oneID(c); err != nil {
				return err
			}
			closeOnExec()
			if c.Bool("force") {
				return p.runtime().Remove(c.Args().First())
			}
			container, err := p.container(c)
			if err != nil {
				return err
			}
			return container.Delete()
		},
	}
}
