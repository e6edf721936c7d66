package cli

import (
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/signals"
)

// interrupts are the signals that ask a program to end.
func interrupts() [4]unix.Signal {
	return [...]unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}
}

// interruptible has these signals interrupt the library, which undoes what it has begun. Signals
// that the caller ignores, as nohup does, stay ignored.
func (p *program) interruptible() (err error) {
	if p.interrupt, err = signals.Bell(); err != nil {
		return err
	}
	ignored := signals.Ignored()
	for _, s := range interrupts() {
		if ignored&(1<<(s-1)) != 0 {
			continue
		}
		if err := signals.Hold(s); err != nil {
			return err
		}
	}
	return nil
}

// interrupted returns an action that can be interrupted.
func (p *program) interrupted(do cli.ActionFunc) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if err := p.interruptible(); err != nil {
			return err
		}
		return do(ctx)
	}
}

// endBySignal ends the program by the signal that interrupted it. The caller expects that: a shell
// then ends its script.
func endBySignal() {
	for _, s := range interrupts() {
		if signals.Held()&(1<<(s-1)) != 0 {
			_ = signals.EndBy(s)
		}
	}
}
