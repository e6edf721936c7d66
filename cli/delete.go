package cli

import "github.com/urfave/cli/v2"

func (p *program) deleteCommand() *cli.Command {
	return &cli.Command{
		Name:        "delete",
		Usage:       "delete a stopped container",
		ArgsUsage:   idUsage,
		Description: "Removes the state of a container and its cgroup.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill the container first if it runs; succeed if it does not exist"},
		},
		BashComplete: p.completeIDs(stopped),
		Action:       p.delete,
	}
}

func (p *program) delete(ctx *cli.Context) error {
	if err := oneID(ctx); err != nil {
		return err
	}
	closeOnExec()
	if ctx.Bool("force") {
		return p.runtime().Remove(ctx.Args().First())
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	return container.Delete()
}
