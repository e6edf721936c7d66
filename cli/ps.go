package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"
)

func (p *program) psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "list the processes of a container",
		ArgsUsage: idUsage + " [OPTION...]",
		Description: "Prints the rows of ps(1) for the container's processes. OPTIONs are passed to ps, -ef by default. " +
			"With them ps must list the processes, and have a column PID.\n" +
			"With --format json: prints an array of PIDs. PIDs are those of the caller's PID namespace.",
		Flags:        []cli.Flag{formatFlag("table", "json")},
		BashComplete: p.completeIDs(live),
		Action:       p.ps,
	}
}

func (p *program) ps(ctx *cli.Context) error {
	if err := argsFor(ctx, 1, -1, "the ID of a container and options of ps"); err != nil {
		return err
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	pids, err := container.Pids()
	if err != nil {
		return err
	}
	if ctx.String("format") == "json" {
		if pids == nil {
			pids = []int{} // an empty array, not null
		}
		return json.NewEncoder(p.stdout).Encode(pids)
	}
	options := programArgs(ctx)
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	table, err := runPS(options)
	if err != nil {
		return err
	}
	if table, err = psRows(table, pids); err != nil {
		return err
	}
	_, err = p.stdout.Write(table)
	return err
}

// runPS returns the output of ps. When ps selects no process it fails silently, and prints the
// heading only.
func runPS(options []string) ([]byte, error) {
	table, err := exec.Command("ps", options...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && len(exit.Stderr) == 0 && len(table) > 0 {
		return table, nil
	}
	if exit != nil && len(exit.Stderr) > 0 {
		first, _, _ := bytes.Cut(exit.Stderr, []byte("\n")) // the other lines are the help of ps
		return nil, fmt.Errorf("ps: %w: %s", err, first)
	}
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	return table, nil
}

// psRows filters a table of ps: it keeps the heading and the rows of these PIDs, which are sorted.
func psRows(table []byte, pids []int) ([]byte, error) {
	heading, rows, _ := bytes.Cut(table, []byte("\n"))
	column := slices.IndexFunc(bytes.Fields(heading), func(name []byte) bool { return string(name) == "PID" })
	if column < 0 {
		return nil, usagef("ps: no column PID in the heading %q", heading)
	}
	kept := append(slices.Clone(heading), '\n')
	for row := range bytes.Lines(rows) {
		fields := bytes.Fields(row)
		if len(fields) == 0 {
			continue
		}
		if len(fields) <= column {
			return nil, usagef("ps: no PID in the row %q", bytes.TrimSpace(row))
		}
		pid, err := strconv.Atoi(string(fields[column]))
		if err != nil {
			// A column before it has blanks in it.
			return nil, usagef("ps: no PID in column PID of the row %q: make it the first column", bytes.TrimSpace(row))
		}
		if _, found := slices.BinarySearch(pids, pid); found {
			kept = append(append(kept, bytes.TrimSuffix(row, []byte("\n"))...), '\n')
		}
	}
	return kept, nil
}
