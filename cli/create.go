package cli

import (
	"github.com/urfave/cli/v2"
)

func (p *program) createCommand() *cli.Command {
	return &cli.Command{
		Usage:       "make a container",
		ArgsUsage:   idUsage,
		Description: "Makes the container that config.json in the bundle describes, up to the start of its program: see start.",
		Flags:       append(planFlags(), streamFlags()...),
		Action:      p.create,
	}
}

func (p *program) create(c *cli.Context) error {
	if err := oneID(c); err != nil {
		return err
	}
	b, err := p.loadBundle(c)
	if err != nil {
		return err
	}
	o, err := p.createOptions(c, b, true)
	if err != nil {
		return err
	}
	_, err = p.creator(c).Create(c.Args().First(), b, o)
	return err
}
