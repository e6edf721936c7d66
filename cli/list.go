package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) listCommand() *command {
	return &command{
		usage:       "list the containers in the state folder",
		description: "Lists all containers that --root knows of, stopped ones too.",
		flags: []flag{
			formatFlag("table", "json"),
			{kind: kindBool, name: "quiet", short: "q", usage: "print the ids only"},
		},
		action: p.list,
	}
}

func (p *program) list(args *arguments) error {
	if err := argsFor(args, 0, 0, "none"); err != nil {
		return err
	}
	format, err := choice(args, "format")
	if err != nil {
		return err
	}
	containers, err := p.runtime().List()
	if err != nil {
		return err
	}
	if args.Bool("quiet") {
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
	if format == "json" {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	return writeTable(p.stdout, list)
}

// writeTable writes the table with runc's columns and spaces.
func writeTable(w io.Writer, list []*libcontainer.Status) error {
	rows := [][]string{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}}
	for _, s := range list {
		rows = append(rows, []string{s.ID, strconv.Itoa(s.Pid), string(s.Status), s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner})
	}
	_, err := io.WriteString(w, columns(rows, 12, 3))
	return err
}
