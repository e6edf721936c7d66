package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

// planID stands for the id of a container that is not made.
const planID = "CONTAINER"

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Usage:       "print what create would do, without doing it",
		ArgsUsage:   "[" + idUsage + "]",
		Description: "Prints the steps that a container's first process would take, with the field of config.json that each comes from. Needs no rights.",
		Flags:       append(planFlags(), formatFlag("text", "json")),
		Action:      p.plan,
	}
}

func (p *program) plan(c *cli.Context) error {
	if err := argsFor(c, 0, 1, "at most the id of a container"); err != nil {
		return err
	}
	format, err := choice(c, "format")
	if err != nil {
		return err
	}
	preserve := c.Int("preserve-fds")
	if preserve < 0 {
		return usagef("--preserve-fds %d: must not be negative", preserve)
	}
	id := planID
	if c.NArg() == 1 {
		id = c.Args().First()
	}
	b, err := p.loadBundle(c)
	if err != nil {
		return err
	}
	o := libcontainer.CreateOptions{NoPivot: c.Bool("no-pivot"), NoNewKeyring: c.Bool("no-new-keyring")}
	o.Files = make([]*os.File, preserve) // their number counts
	plan, err := p.creator(c).Plan(id, b, o)
	if err != nil {
		return err
	}
	for _, w := range append(b.Warnings, plan.Warnings...) {
		p.log.warn(w)
	}
	if format == "text" {
		_, err = io.WriteString(p.stdout, plan.String())
		return err
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err = indented.WriteTo(p.stdout)
	return err
}
