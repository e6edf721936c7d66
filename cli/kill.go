package cli

import (
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

func (p *program) killCommand() *cli.Command {
	return &cli.Command{
		Name:        "kill",
		Usage:       "send a signal to the first process of a container",
		ArgsUsage:   idUsage + " [SIGNAL]",
		Description: "SIGNAL is a name or a number, SIGTERM by default.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send the signal to all processes of the container"},
		},
		BashComplete: p.completeKill,
		Action:       p.kill,
	}
}

func (p *program) kill(ctx *cli.Context) error {
	if err := argsFor(ctx, 1, 2, "the ID of a container and a signal"); err != nil {
		return err
	}
	sig := unix.SIGTERM
	if ctx.NArg() == 2 {
		var err error
		if sig, err = specconv.ParseSignal(ctx.Args().Get(1)); err != nil {
			return usagef("kill: %v", err)
		}
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	if ctx.Bool("all") {
		return container.KillAll(sig)
	}
	return container.Kill(sig)
}

// completeKill completes the container and the signal, whose name may begin with SIG.
func (p *program) completeKill(ctx *cli.Context) {
	if ctx.NArg() != 1 {
		p.completeIDs(live)(ctx)
		return
	}
	for _, name := range specconv.SignalNames() {
		if strings.HasPrefix(p.completing, "SIG") {
			name = "SIG" + name
		}
		p.candidate(ctx, name, "")
	}
}
