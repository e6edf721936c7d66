package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/orlop/orlop/libcontainer"
)

// planID stands for the id of a container that is not made.
const planID = "CONTAINER"

func (p *program) planCommand() *command {
	return &command{
		usage:       "print what create would do, without doing it",
		argsUsage:   "[" + idUsage + "]",
		description: "Prints the steps that a container's first process would take, with the field of config.json that each comes from. Needs no rights.",
		flags:       append(planFlags(), formatFlag("text", "json")),
		action:      p.plan,
	}
}

func (p *program) plan(args *arguments) error {
	if err := argsFor(args, 0, 1, "at most the id of a container"); err != nil {
		return err
	}
	format, err := choice(args, "format")
	if err != nil {
		return err
	}
	preserve := args.Int("preserve-fds")
	if preserve < 0 {
		return usagef("--preserve-fds %d: must not be negative", preserve)
	}
	id := planID
	if args.NArg() == 1 {
		id = args.First()
	}
	b, err := p.loadBundle(args)
	if err != nil {
		return err
	}
	o := libcontainer.CreateOptions{NoPivot: args.Bool("no-pivot"), NoNewKeyring: args.Bool("no-new-keyring")}
	o.Files = make([]*os.File, preserve) // their number counts
	plan, err := p.creator(args).Plan(id, b, o)
	if err != nil {
		return err
	}
	for _, w := range append(b.Warnings, plan.Warnings...) {
		p.log.warn(w)
	}
	for _, n := range append(b.Notes, plan.Notes...) {
		p.log.note(n)
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
