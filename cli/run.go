package cli

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Usage:     "make a container and start its program",
		ArgsUsage: idUsage,
		Description: "Makes the container that config.json in the bundle describes, runs its program, and deletes the container when that has " +
			"ended. Signals are passed on to it. The exit status is the program's.",
		Flags: append(append(planFlags(), streamFlags()...),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the program runs, and leave the container to delete"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when its program has ended"},
			subreaperFlag(),
		),
		Action: p.runContainer,
	}
}

func (p *program) runContainer(c *cli.Context) error {
	if err := oneID(c); err != nil {
		return err
	}
	b, err := p.loadBundle(c)
	if err != nil {
		return err
	}
	detach := c.Bool("detach")
	o, err := p.createOptions(c, b, detach)
	if err != nil {
		return err
	}
	if detach {
		container, err := p.creator(c).Run(c.Args().First(), b, o)
		if err != nil {
			return err
		}
		p.awaitReady(container)
		return nil
	}
	return p.runForeground(c, b, o)
}

func (p *program) runForeground(c *cli.Context, b *specconv.Bundle, o libcontainer.CreateOptions) error {
	f := newForeground(p, !c.Bool("no-subreaper"))
	o.BeforeStart = f.ready
	p.sizeTerminal(b.Spec.Process)
	container, err := p.creator(c).Run(c.Args().First(), b, o)
	if err != nil {
		return err
	}
	p.log.succeed()
	if o.NotifySocket != "" {
		go func() {
			if err := container.ForwardReady(); err != nil {
				p.log.warn(err.Error())
			}
		}()
	}
	p.status, err = f.wait(container.Process())
	if c.Bool("keep") {
		return err
	}
	deleteErr := container.Delete()
	if deleteErr != nil && err == nil && p.status != 0 {
		// The program's own failure is what the caller must learn.
		p.log.warn(deleteErr.Error())
		return nil
	}
	return errors.Join(err, deleteErr)
}
