package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/specconv"
)

// argsFor checks the number of operands. A negative most means no limit; what names the operands.
func argsFor(ctx *cli.Context, least, most int, what string) error {
	n := ctx.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	called := ctx.Command.Name
	return usagef("%s: takes %s, not %d arguments: see %s %s --help", called, what, n, name, called)
}

// oneID checks that a command has the ID of its container and no further operand.
func oneID(ctx *cli.Context) error {
	return argsFor(ctx, 1, 1, "the ID of a container")
}

const idUsage = "CONTAINER"

// programArgs returns the operands after the container's ID, which are for another program, without
// a leading "--": "exec box -- ls -l".
func programArgs(ctx *cli.Context) []string {
	args := ctx.Args().Tail()
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

func bundleFlag() cli.Flag {
	return &cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`DIRECTORY` of the bundle (default: the working directory)"}
}

// planFlags are the flags that change the plan of a container.
func planFlags() []cli.Flag {
	return []cli.Flag{
		bundleFlag(),
		&cli.BoolFlag{Name: "no-pivot", Usage: "move the root mount instead of using pivot_root, for a root filesystem on a ramfs; less safe"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "leave the process in the caller's session keyring"},
		&cli.BoolFlag{Name: "no-seccomp", Usage: "ignore the configuration's seccomp profile"},
		&cli.BoolFlag{Name: "no-seccomp-cache", Usage: "compile the seccomp profile even if a compiled one is cached"},
		preserveFlag(),
	}
}

func preserveFlag() cli.Flag {
	return &cli.IntFlag{Name: "preserve-fds", Usage: "pass `N` file descriptors after the standard streams and $LISTEN_FDS"}
}

// streamFlags are the flags of commands that start a process.
func streamFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "console-socket", Usage: "send the master of the terminal to the unix `SOCKET`"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "send a pidfd of the process to the unix `SOCKET`"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the PID of the process to `FILE`"},
	}
}

// loadBundle reads the bundle that --bundle names.
func (p *program) loadBundle(ctx *cli.Context) (*specconv.Bundle, error) {
	b, err := specconv.Load(ctx.String("bundle"))
	if err != nil {
		return nil, err
	}
	if b.Spec.Linux != nil && b.Spec.Linux.Seccomp != nil && ctx.Bool("no-seccomp") {
		b.Spec.Linux.Seccomp = nil
		p.log.warn("linux.seccomp: left out, as --no-seccomp says: the container can make any system call")
	}
	return b, setReceiver(b, os.Getenv(seccompReceiver))
}

// seccompReceiver is crun's variable for the receiver of a seccomp filter's listener.
const seccompReceiver = "RUN_OCI_SECCOMP_RECEIVER"

// setReceiver sets the receiver if the configuration names none.
func setReceiver(b *specconv.Bundle, path string) error {
	linux := b.Spec.Linux
	if path == "" || linux == nil || linux.Seccomp == nil || linux.Seccomp.ListenerPath != "" {
		return nil
	}
	if !filepath.IsAbs(path) {
		return usagef("%s=%s: must be absolute", seccompReceiver, path)
	}
	linux.Seccomp.ListenerPath = path
	return nil
}

func configOf(b *specconv.Bundle) string { return filepath.Join(b.Dir, specconv.ConfigName) }

// createOptions returns the options of create and run. It adds LISTEN_FDS to the bundle's
// environment.
func (p *program) createOptions(ctx *cli.Context, b *specconv.Bundle, detach bool) (o libcontainer.CreateOptions, err error) {
	if err := p.interruptible(); err != nil {
		return o, err
	}
	process := b.Spec.Process // nil where there is none: such a container can be created, but not started
	if process == nil && ctx.Command.Name == "run" {
		return o, fmt.Errorf("%s: %w", configOf(b), specconv.Invalid("process", "is required: there is no program to run"))
	}
	if o.Streams, err = p.streams(ctx, process != nil && process.Terminal, detach); err != nil {
		return o, err
	}
	in, err := inherited(ctx.Int("preserve-fds"), true)
	if err != nil {
		return o, err
	}
	o.Files = in.files
	if process != nil && in.env != nil {
		process.Env = append(withoutListen(process.Env), in.env...)
	}
	o.PidVariable = in.pidVariable
	o.NotifySocket = os.Getenv(notifySocket)
	o.NoPivot, o.NoNewKeyring = ctx.Bool("no-pivot"), ctx.Bool("no-new-keyring")
	closeOnExec()
	return o, nil
}

// streams returns where the terminal, the PID and the pidfd of a process go.
func (p *program) streams(ctx *cli.Context, terminal, detach bool) (libcontainer.Streams, error) {
	s := libcontainer.Streams{
		ConsoleSocket: ctx.String("console-socket"),
		PidfdSocket:   ctx.String("pidfd-socket"),
		PidFile:       ctx.String("pid-file"),
	}
	switch {
	case detach && terminal && s.ConsoleSocket == "":
		return s, usagef("%s: cannot allocate tty if %s will detach without setting console socket", ctx.Command.Name, name)
	case (!detach || !terminal) && s.ConsoleSocket != "":
		return s, usagef("%s: cannot use console socket if %s will not detach or allocate tty", ctx.Command.Name, name)
	}
	s.Shared = !detach
	s.PlainLines = terminal && !detach && !console.IsTerminal(p.stdout)
	if !terminal {
		s.Stdin, s.Stdout, s.Stderr = p.stdin, p.stdout, p.stderr
	}
	return s, nil
}

// closeOnExec keeps file descriptors that the caller left open from programs that are started from
// here on, such as hooks.
func closeOnExec() {
	// Since Linux 5.11. Nothing depends on it: a container's process gets the descriptors that are
	// listed for it, and no others.
	_ = unix.CloseRange(3, ^uint(0)>>1&0x7fffffff, unix.CLOSE_RANGE_CLOEXEC)
}
