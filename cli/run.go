package cli

import (
	"errors"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) runCommand() *command {
	return &command{
		usage:     "make a container and start its program",
		argsUsage: idUsage,
		description: "Makes the container that config.json in the bundle describes, runs its program, and deletes the container when that has " +
			"ended. Signals are passed on to it. The exit status is the program's.",
		flags: append(append(planFlags(), streamFlags()...),
			flag{kind: kindBool, name: "detach", short: "d", usage: "return when the program runs, and leave the container to delete"},
			flag{kind: kindBool, name: "keep", usage: "do not delete the container when its program has ended"},
			subreaperFlag(),
		),
		action: p.runContainer,
	}
}

func (p *program) runContainer(args *arguments) error {
	if err := oneID(args); err != nil {
		return err
	}
	b, err := p.loadBundle(args)
	if err != nil {
		return err
	}
	detach := args.Bool("detach")
	o, err := p.createOptions(args, b, detach)
	if err != nil {
		return err
	}
	if detach {
		container, err := p.creator(args).Run(args.First(), b, o)
		if err != nil {
			return err
		}
		return p.awaitReady(container)
	}
	return p.runForeground(args, b, o)
}

func (p *program) runForeground(args *arguments, b *specconv.Bundle, o libcontainer.CreateOptions) error {
	f := newForeground(p, !args.Bool("no-subreaper"))
	o.BeforeStart = f.ready
	p.sizeTerminal(b.Spec.Process)
	container, err := p.creator(args).Run(args.First(), b, o)
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
	if args.Bool("keep") {
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
