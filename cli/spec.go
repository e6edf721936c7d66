package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/specconv"
)

func (p *program) specCommand() *cli.Command {
	return &cli.Command{
		Usage:       "write an example config.json",
		Description: "Writes config.json into the bundle's folder: a shell on a terminal, to be edited. The root file system goes to rootfs beside it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`FOLDER` of the bundle (default: the current one)"},
			&cli.BoolFlag{Name: "rootless", Usage: "one that needs no root's rights"},
		},
		Action: p.spec,
	}
}

func (p *program) spec(c *cli.Context) error {
	if err := argsFor(c, 0, 0, "none"); err != nil {
		return err
	}
	s := specconv.Example()
	if c.Bool("rootless") {
		specconv.ToRootless(s, uint32(os.Geteuid()), uint32(os.Getegid()))
	}
	// Never over one that is there, not even in a race.
	f, err := os.OpenFile(filepath.Join(c.String("bundle"), specconv.ConfigName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(writeJSON(f, s, "\t"), f.Close())
}
