package cli

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create a container and run its program",
		ArgsUsage: idUsage,
		Description: "Creates the container that config.json in the bundle describes, runs its program, and deletes the container when the program " +
			"has exited. Passes on signals. The exit status is the program's.",
		Flags: append(append(planFlags(), streamFlags()...),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the program runs; the container must be deleted later"},
			&cli.BoolFlag{Name: "keep", Usage: "keep the container when its program has exited"},
			subreaperFlag(),
		),
		Action: p.runContainer,
	}
}

func (p *program) runContainer(ctx *cli.Context) error {
	if err := oneID(ctx); err != nil {
		return err
	}
	b, err := p.loadBundle(ctx)
	if err != nil {
		return err
	}
	detach := ctx.Bool("detach")
	o, err := p.createOptions(ctx, b, detach)
	if err != nil {
		return err
	}
	if detach {
		container, err := p.creator(ctx).Run(ctx.Args().First(), b, o)
		if err != nil {
			return err
		}
		return p.awaitReady(container)
	}
	return p.runForeground(ctx, b, o)
}

func (p *program) runForeground(ctx *cli.Context, b *specconv.Bundle, o libcontainer.CreateOptions) error {
	f := newForeground(p, !ctx.Bool("no-subreaper"))
	o.BeforeStart = f.ready
	p.sizeTerminal(b.Spec.Process)
	container, err := p.creator(ctx).Run(ctx.Args().First(), b, o)
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
	if ctx.Bool("keep") {
		return err
	}
	deleteErr := container.Delete()
	if deleteErr != nil && err == nil && p.status != 0 {
		// The caller must learn of the program's own failure.
		p.log.warn(deleteErr.Error())
		return nil
	}
	return errors.Join(err, deleteErr)
}
