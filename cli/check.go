package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "check whether this host can run a bundle's container",
		ArgsUsage: "[" + idUsage + "]",
		Description: "Creates nothing. Prints what the container needs and this host or the caller lacks, each with its path in config.json, " +
			"and exits with status 1 if there is any. The answer is for the user who calls it.",
		Flags:  []cli.Flag{bundleFlag(), formatFlag("text", "json")},
		Action: p.check,
	}
}

// statusMissing is the exit status when something is missing. Errors have the same status.
const statusMissing = 1

func (p *program) check(ctx *cli.Context) error {
	if err := argsFor(ctx, 0, 1, "the ID of a container at most"); err != nil {
		return err
	}
	b, faults, err := specconv.Examine(ctx.String("bundle"))
	if err != nil {
		return err
	}
	if err := setReceiver(b, os.Getenv(seccompReceiver)); err != nil {
		return err
	}
	report, err := p.runtime().Check(planID(ctx), b, faults, libcontainer.CreateOptions{})
	if err != nil {
		return err
	}
	if !report.OK {
		p.status = statusMissing
	}
	if ctx.String("format") == "json" {
		return writeJSON(p.stdout, report, "  ")
	}
	_, err = io.WriteString(p.stdout, reportText(report))
	return err
}

// reportText writes a report for people: a line for each thing that is missing, as in an error of
// create.
func reportText(r *libcontainer.Report) string {
	var b strings.Builder
	list := func(before string, misses []libcontainer.Miss) {
		for _, m := range misses {
			b.WriteString(before)
			switch {
			case m.Path != "":
				b.WriteString(m.Path + ": ")
			case m.Name != "" && !strings.Contains(m.Lacks, m.Name):
				b.WriteString(m.Kind + " " + m.Name + ": ")
			}
			b.WriteString(m.Lacks)
			if m.Since != "" {
				b.WriteString(" (since Linux " + m.Since + ")")
			}
			b.WriteByte('\n')
		}
	}
	list("missing: ", r.Misses)
	list("unknown: ", r.Unknown)
	for _, w := range r.Warnings {
		b.WriteString("warning: " + w + "\n")
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	if r.OK {
		b.WriteString("this host can run it\n")
		return b.String()
	}
	fmt.Fprintf(&b, "this host cannot run it: %d missing\n", len(r.Misses))
	return b.String()
}
