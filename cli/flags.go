package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

// argsFor checks the number of a command's arguments; what names them.
func argsFor(c *cli.Context, least, most int, what string) error {
	n := c.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	return usagef("%s: takes %s, not %d arguments: see %s %s --help", c.Command.Name, what, n, name, c.Command.Name)
}

// oneID checks that a command has its container's id and nothing else.
func oneID(c *cli.Context) error {
	return argsFor(c, 1, 1, "the id of a container")
}

const idUsage = "CONTAINER"

// planFlags are the flags on which the plan of a container depends.
func planFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`FOLDER` of the bundle (default: the current one)"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "move the root mount in place of pivot_root, for a root file system on a ramfs; less safe"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "leave the process in the caller's session keyring"},
		&cli.BoolFlag{Name: "no-seccomp", Usage: "leave out the configuration's seccomp profile"},
		&cli.BoolFlag{Name: "no-seccomp-cache", Usage: "compile the seccomp profile, whether or not it was compiled before"},
		preserveFlag(),
	}
}

func preserveFlag() cli.Flag {
	return &cli.IntFlag{Name: "preserve-fds", Usage: "pass `N` more descriptors than standard streams and $LISTEN_FDS"}
}

// streamFlags are those of commands that start a process.
func streamFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "console-socket", Usage: "unix `SOCKET` that gets the terminal's master"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "unix `SOCKET` that gets a pidfd of the process"},
		&cli.StringFlag{Name: "pid-file", Usage: "`FILE` that gets the process's number"},
	}
}

// loadBundle reads the bundle that --bundle names.
func (p *program) loadBundle(c *cli.Context) (*specconv.Bundle, error) {
	dir := c.String("bundle")
	if dir == "" {
		dir = "."
	}
	b, err := specconv.Load(dir)
	if err != nil {
		return nil, err
	}
	if b.Spec.Linux != nil && b.Spec.Linux.Seccomp != nil && c.Bool("no-seccomp") {
		b.Spec.Linux.Seccomp = nil
		p.log.warn("linux.seccomp: left out, as --no-seccomp says: the container can make any system call")
	}
	return b, nil
}

func configOf(b *specconv.Bundle) string { return filepath.Join(b.Dir, specconv.ConfigName) }

// createOptions takes the flags of create and run, and adds to the bundle's environment what goes with them.
func (p *program) createOptions(c *cli.Context, b *specconv.Bundle, detach bool) (o libcontainer.CreateOptions, err error) {
	process := b.Spec.Process // nil where there is none: such a container can be created, but not started
	if process == nil && c.Command.Name == "run" {
		return o, fmt.Errorf("%s: %w", configOf(b), specconv.Faults{{Path: "process", Problem: "is required, for there is no program to run"}})
	}
	if o.Streams, err = p.streams(c, process != nil && process.Terminal, detach); err != nil {
		return o, err
	}
	in, err := inherited(c.Int("preserve-fds"), true)
	if err != nil {
		return o, err
	}
	o.Files = in.files
	if process != nil && in.env != nil {
		process.Env = append(withoutListen(process.Env), in.env...)
	}
	o.PidVariable = in.pidVariable
	o.NotifySocket = os.Getenv(notifySocket)
	o.NoPivot, o.NoNewKeyring = c.Bool("no-pivot"), c.Bool("no-new-keyring")
	closeOnExec()
	return o, nil
}

// streams takes the flags that say where a process's terminal, number and pidfd go.
func (p *program) streams(c *cli.Context, terminal, detach bool) (libcontainer.Streams, error) {
	s := libcontainer.Streams{
		ConsoleSocket: c.String("console-socket"),
		PidfdSocket:   c.String("pidfd-socket"),
		PidFile:       c.String("pid-file"),
	}
	switch {
	case detach && terminal && s.ConsoleSocket == "":
		return s, usagef("%s: cannot allocate tty if %s will detach without setting console socket", c.Command.Name, name)
	case (!detach || !terminal) && s.ConsoleSocket != "":
		return s, usagef("%s: cannot use console socket if %s will not detach or allocate tty", c.Command.Name, name)
	}
	if !terminal {
		s.Stdin, s.Stdout, s.Stderr = p.stdin, p.stdout, p.stderr
	}
	return s, nil
}

// closeOnExec keeps descriptors that the caller left open from the programs that are started from here on, such as
// hooks: only those that are passed on by name go further.
func closeOnExec() {
	// Since Linux 5.11. Before that there is no quick way, and nothing depends on it: containers close their own.
	_ = unix.CloseRange(3, ^uint(0)>>1&0x7fffffff, unix.CLOSE_RANGE_CLOEXEC)
}
