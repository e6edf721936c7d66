package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/libcontainer/console"
	"github.com/orlop/orlop/specconv"
)

// argsFor checks the number of a command's arguments; what names them.
func argsFor(args *arguments, least, most int, what string) error {
	n := args.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	return usagef("%s: takes %s, not %d arguments: see %s %s --help", args.command.name, what, n, name, args.command.name)
}

// oneID checks that a command has its container's id and nothing else.
func oneID(args *arguments) error {
	return argsFor(args, 1, 1, "the id of a container")
}

const idUsage = "CONTAINER"

// planFlags are the flags on which the plan of a container depends.
func planFlags() []flag {
	return []flag{
		{kind: kindString, name: "bundle", short: "b", usage: "`FOLDER` of the bundle (default: the current one)"},
		{kind: kindBool, name: "no-pivot", usage: "move the root mount in place of pivot_root, for a root file system on a ramfs; less safe"},
		{kind: kindBool, name: "no-new-keyring", usage: "leave the process in the caller's session keyring"},
		{kind: kindBool, name: "no-seccomp", usage: "leave out the configuration's seccomp profile"},
		{kind: kindBool, name: "no-seccomp-cache", usage: "compile the seccomp profile, whether or not it was compiled before"},
		preserveFlag(),
	}
}

func preserveFlag() flag {
	return flag{kind: kindInt, name: "preserve-fds", initial: "0", usage: "pass `N` more descriptors than standard streams and $LISTEN_FDS"}
}

// streamFlags are those of commands that start a process.
func streamFlags() []flag {
	return []flag{
		{kind: kindString, name: "console-socket", usage: "unix `SOCKET` that gets the terminal's master"},
		{kind: kindString, name: "pidfd-socket", usage: "unix `SOCKET` that gets a pidfd of the process"},
		{kind: kindString, name: "pid-file", usage: "`FILE` that gets the process's number"},
	}
}

// loadBundle reads the bundle that --bundle names.
func (p *program) loadBundle(args *arguments) (*specconv.Bundle, error) {
	dir := args.String("bundle")
	if dir == "" {
		dir = "."
	}
	b, err := specconv.Load(dir)
	if err != nil {
		return nil, err
	}
	if b.Spec.Linux != nil && b.Spec.Linux.Seccomp != nil && args.Bool("no-seccomp") {
		b.Spec.Linux.Seccomp = nil
		p.log.warn("linux.seccomp: left out, as --no-seccomp says: the container can make any system call")
	}
	return b, setReceiver(b, os.Getenv(seccompReceiver))
}

// seccompReceiver is crun's variable for the receiver of a seccomp filter's listener.
const seccompReceiver = "RUN_OCI_SECCOMP_RECEIVER"

// setReceiver makes path the receiver if the configuration names none.
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

// createOptions takes the flags of create and run, and adds to the bundle's environment what goes with them.
func (p *program) createOptions(args *arguments, b *specconv.Bundle, detach bool) (o libcontainer.CreateOptions, err error) {
	if err := p.interruptible(); err != nil {
		return o, err
	}
	process := b.Spec.Process // nil where there is none: such a container can be created, but not started
	if process == nil && args.command.name == "run" {
		return o, fmt.Errorf("%s: %w", configOf(b), specconv.Faults{{Path: "process", Problem: "is required, for there is no program to run"}})
	}
	if o.Streams, err = p.streams(args, process != nil && process.Terminal, detach); err != nil {
		return o, err
	}
	in, err := inherited(args.Int("preserve-fds"), true)
	if err != nil {
		return o, err
	}
	o.Files = in.files
	if process != nil && in.env != nil {
		process.Env = append(withoutListen(process.Env), in.env...)
	}
	o.PidVariable = in.pidVariable
	o.NotifySocket = os.Getenv(notifySocket)
	o.NoPivot, o.NoNewKeyring = args.Bool("no-pivot"), args.Bool("no-new-keyring")
	closeOnExec()
	return o, nil
}

// streams takes the flags that say where a process's terminal, number and pidfd go.
func (p *program) streams(args *arguments, terminal, detach bool) (libcontainer.Streams, error) {
	s := libcontainer.Streams{
		ConsoleSocket: args.String("console-socket"),
		PidfdSocket:   args.String("pidfd-socket"),
		PidFile:       args.String("pid-file"),
	}
	switch {
	case detach && terminal && s.ConsoleSocket == "":
		return s, usagef("%s: cannot allocate tty if %s will detach without setting console socket", args.command.name, name)
	case (!detach || !terminal) && s.ConsoleSocket != "":
		return s, usagef("%s: cannot use console socket if %s will not detach or allocate tty", args.command.name, name)
	}
	s.Shared = !detach
	s.PlainLines = terminal && !detach && !console.IsTerminal(p.stdout)
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
