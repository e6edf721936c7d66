package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/codec"
)

func (p *program) specCommand() *command {
	return &command{
		usage:       "write an example config.json",
		description: "Writes config.json into the bundle's folder: a shell on a terminal, to be edited. The root file system goes to rootfs beside it.",
		flags: []flag{
			{kind: kindString, name: "bundle", short: "b", usage: "`FOLDER` of the bundle (default: the current one)"},
			{kind: kindBool, name: "rootless", usage: "one that needs no root's rights"},
		},
		action: p.spec,
	}
}

func (p *program) spec(args *arguments) error {
	if err := argsFor(args, 0, 0, "none"); err != nil {
		return err
	}
	s := specconv.Example()
	if args.Bool("rootless") {
		specconv.ToRootless(s, uint32(os.Geteuid()), uint32(os.Getegid()))
	}
	// Never over one that is there, not even in a race.
	f, err := os.OpenFile(filepath.Join(args.String("bundle"), specconv.ConfigName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	e := codec.Encoder{Indent: "\t"}
	codec.EncodeSpec(&e, s)
	_, err = f.Write(append(e.Buf, '\n'))
	return errors.Join(err, f.Close())
}
