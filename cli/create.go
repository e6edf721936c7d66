package cli

import "github.com/urfave/cli/v2"

func (p *program) createCommand() *cli.Command {
	return &cli.Command{
		Name:        "create",
		Usage:       "create a container",
		ArgsUsage:   idUsage,
		Description: "Creates the container that config.json in the bundle describes. Its program runs when it is started: see start.",
		Flags:       append(planFlags(), streamFlags()...),
		Action:      p.create,
	}
}

func (p *program) create(ctx *cli.Context) error {
	if err := oneID(ctx); err != nil {
		return err
	}
	b, err := p.loadBundle(ctx)
	if err != nil {
		return err
	}
	o, err := p.createOptions(ctx, b, true)
	if err != nil {
		return err
	}
	_, err = p.creator(ctx).Create(ctx.Args().First(), b, o)
	return err
}
