package cli

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start the program of a created container",
		ArgsUsage: idUsage,
		Description: "Has the process that create made execute the program of config.json, and returns when it has done so. If systemd has set " +
			"$NOTIFY_SOCKET for create and start, it returns when the program has said that it is ready, and tells systemd.",
		BashComplete: p.completeIDs(created),
		Action: p.interrupted(p.oneContainer(func(container *libcontainer.Container) error {
			closeOnExec()
			address := os.Getenv(notifySocket)
			if address == "" {
				return container.Start()
			}
			if err := container.StartNotify(address); err != nil {
				return err
			}
			return p.awaitReady(container)
		})),
	}
}

// notifySocket is the variable that names the service manager's socket for readiness
// (sd_notify(3)).
const notifySocket = "NOTIFY_SOCKET"

// awaitReady waits until the container's program is ready, and tells the service manager. The
// container runs in any case.
func (p *program) awaitReady(container *libcontainer.Container) error {
	err := container.AwaitReady()
	if err != nil && !errors.Is(err, libcontainer.ErrInterrupted) {
		p.log.warn(err.Error())
		return nil
	}
	return err
}
