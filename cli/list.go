package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list containers",
		Description: "Lists all containers below --root, stopped ones too.",
		Flags: []cli.Flag{
			formatFlag("table", "json"),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print IDs only"},
		},
		Action: p.list,
	}
}

func (p *program) list(ctx *cli.Context) error {
	if err := argsFor(ctx, 0, 0, "none"); err != nil {
		return err
	}
	containers, err := p.runtime().List()
	if err != nil {
		return err
	}
	if ctx.Bool("quiet") {
		for _, container := range containers {
			if _, err := fmt.Fprintln(p.stdout, container.ID()); err != nil {
				return err
			}
		}
		return nil
	}
	list := make([]*libcontainer.Status, 0, len(containers)) // not nil: an empty array, not null
	for _, container := range containers {
		s, err := container.Status()
		switch {
		case errors.Is(err, libcontainer.ErrNotExist): // deleted meanwhile
		case err != nil:
			// One that is damaged must not hide the others.
			p.log.warn(err.Error())
		default:
			list = append(list, s)
		}
	}
	if ctx.String("format") == "json" {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	return writeTable(p.stdout, list)
}

// writeTable writes the table with runc's columns and spaces.
func writeTable(w io.Writer, list []*libcontainer.Status) error {
	table := tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
	fmt.Fprint(table, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return table.Flush()
}
