package cli

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

// planID returns the ID of a container that is not created.
func planID(ctx *cli.Context) string {
	if ctx.NArg() == 0 {
		return idUsage
	}
	return ctx.Args().First()
}

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Name:        "plan",
		Usage:       "print what create would do",
		ArgsUsage:   "[" + idUsage + "]",
		Description: "Prints the steps that the first process of the container would take, with the field of config.json that each comes from. Needs no privileges.",
		Flags:       append(planFlags(), formatFlag("text", "json")),
		Action:      p.plan,
	}
}

func (p *program) plan(ctx *cli.Context) error {
	if err := argsFor(ctx, 0, 1, "at most the ID of a container"); err != nil {
		return err
	}
	preserve := ctx.Int("preserve-fds")
	if preserve < 0 {
		return usagef("--preserve-fds %d: must not be negative", preserve)
	}
	b, err := p.loadBundle(ctx)
	if err != nil {
		return err
	}
	o := libcontainer.CreateOptions{NoPivot: ctx.Bool("no-pivot"), NoNewKeyring: ctx.Bool("no-new-keyring")}
	o.Files = make([]*os.File, preserve) // their number counts
	plan, err := p.creator(ctx).Plan(planID(ctx), b, o)
	if err != nil {
		return err
	}
	for _, w := range append(b.Warnings, plan.Warnings...) {
		p.log.warn(w)
	}
	for _, n := range append(b.Notes, plan.Notes...) {
		p.log.note(n)
	}
	if ctx.String("format") == "json" {
		return writeJSON(p.stdout, plan, "  ")
	}
	_, err = io.WriteString(p.stdout, plan.String())
	return err
}
