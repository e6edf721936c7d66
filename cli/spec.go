package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

func (p *program) specCommand() *cli.Command {
	return &cli.Command{
		Name:        "spec",
		Usage:       "write an example config.json",
		Description: "Writes config.json into the directory of a bundle. It runs a shell on a terminal in the root filesystem rootfs beside it.",
		Flags: []cli.Flag{
			bundleFlag(),
			&cli.BoolFlag{Name: "rootless", Usage: "write a configuration that needs no root privileges"},
		},
		Action: p.spec,
	}
}

func (p *program) spec(ctx *cli.Context) error {
	if err := argsFor(ctx, 0, 0, "none"); err != nil {
		return err
	}
	s := specconv.Example()
	if ctx.Bool("rootless") {
		specconv.ToRootless(s, uint32(os.Geteuid()), uint32(os.Getegid()))
	}
	// An existing file is never overwritten, not even in a race.
	f, err := os.OpenFile(filepath.Join(ctx.String("bundle"), specconv.ConfigName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	e := codec.Encoder{Indent: "\t"}
	codec.EncodeSpec(&e, s)
	_, err = f.Write(append(e.Buf, '\n'))
	return errors.Join(err, f.Close())
}
