package cli

import (
	"errors"
	"os"

	"github.com/orlop/orlop/libcontainer"
)

func (p *program) startCommand() *command {
	return &command{
		usage:     "start the program of a container that was created",
		argsUsage: idUsage,
		description: "Lets the process that create made execute config.json's program, and returns when it has done so. With $NOTIFY_SOCKET, as systemd " +
			"sets it, and set for create, too, it returns when the program has said that it is ready, which the service manager is then told.",
		action: p.interrupted(p.oneContainer(func(container *libcontainer.Container) error {
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

// notifySocket is the variable by which a service manager says where it wants to be told that a service is ready (sd_notify(3)).
const notifySocket = "NOTIFY_SOCKET"

// awaitReady passes on that a container's program is ready. The container runs, whatever becomes of that.
func (p *program) awaitReady(container *libcontainer.Container) error {
	err := container.AwaitReady()
	if err != nil && !errors.Is(err, libcontainer.ErrInterrupted) {
		p.log.warn(err.Error())
		return nil
	}
	return err
}
