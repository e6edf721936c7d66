// Package cli is orlop's command line: flags, output, the log and exit statuses. Package
// libcontainer does the work.
//
// Exit statuses:
//
//	0      success
//	1      failure or wrong usage; the reason is on standard error and in the log
//	255    exec: the process could not be started (run: 1)
//	N      run and exec in the foreground: the exit status of the process
//	128+N  run and exec in the foreground: signal N ended the process
//
// A signal that interrupts create, run, start or exec ends the program once it has undone what it
// began.
package cli

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

// name is the program's name in messages and help, whatever its file is called.
const name = "orlop"

// program is one call of the command line.
type program struct {
	version               string
	stdin, stdout, stderr *os.File
	log                   logger
	root                  string // state directory
	rootless              libcontainer.Rootless
	cgroups               libcontainer.CgroupManager
	interrupt             *os.File // see interruptible
	status                int      // exit status of a call without error: that of the container's process
	called                []string // the command and its arguments, as they were given
	completing            string   // the word that is being completed
	slack                 int      // timer slack that the program was started with, in nanoseconds
}

// Main runs the command line args, which begin with the program's name, and returns the exit
// status. A container in the foreground uses the streams, too.
func Main(version string, args []string, stdin, stdout, stderr *os.File) int {
	p := &program{version: version, stdin: stdin, stdout: stdout, stderr: stderr, log: newLogger(stderr), slack: calmMonitor()}
	err := p.run(args)
	if errors.Is(err, errDone) {
		err = nil
	}
	if err = p.log.finish(err); err != nil {
		if errors.Is(err, libcontainer.ErrInterrupted) {
			endBySignal()
		}
		return exitStatus(err)
	}
	return p.status
}

// run calls the command that the arguments name.
func (p *program) run(args []string) error {
	app := p.newApp()
	err := app.Run(p.arrange(app, args[min(1, len(args)):]))
	return cmp.Or(err, app.Writer.(*writer).err)
}

// newApp returns the command line without its commands.
func (p *program) newApp() *cli.App {
	setHelp()
	return &cli.App{
		Name:            name,
		HelpName:        name,
		Usage:           "an OCI container runtime",
		Flags:           append(withNames(p.globalFlags()), cli.HelpFlag),
		HideHelpCommand: true, // ours
		HideVersion:     true, // ours prints more
		BashComplete:    p.completeCommands,
		Before:          p.before,
		Action:          unknownCommand,
		OnUsageError:    p.usageError,
		ExitErrHandler:  func(*cli.Context, error) {}, // Main exits
		Writer:          &writer{Writer: p.stdout},
		Compiled:        time.Unix(0, 0), // unused: without it, the library asks for the program's file
	}
}

// App returns the command line for its documentation: all commands except help.
func App(version string) *cli.App {
	p := &program{version: version}
	app := p.newApp()
	app.Version = version
	app.Commands = slices.DeleteFunc(p.commands(""), func(c *cli.Command) bool { return isHelp(c.Name) })
	return app
}

// A constructor makes one command.
type constructor struct {
	name    string
	command func(*program) *cli.Command
}

func constructors() []constructor {
	return []constructor{
		{"create", (*program).createCommand},
		{"start", (*program).startCommand},
		{"run", (*program).runCommand},
		{"state", (*program).stateCommand},
		{"list", (*program).listCommand},
		{"exec", (*program).execCommand},
		{"kill", (*program).killCommand},
		{"delete", (*program).deleteCommand},
		{"pause", (*program).pauseCommand},
		{"resume", (*program).resumeCommand},
		{"update", (*program).updateCommand},
		{"ps", (*program).psCommand},
		{"events", (*program).eventsCommand},
		{"stats", (*program).statsCommand},
		{"spec", (*program).specCommand},
		{"plan", (*program).planCommand},
		{"check", (*program).checkCommand},
		{"info", (*program).infoCommand},
		{"features", (*program).featuresCommand},
		{"completion", (*program).completionCommand},
		{"help", (*program).helpCommand},
	}
}

// commands returns the named command alone: declaring all of them costs every call 0.2 ms. It
// returns all commands for help and for an unknown name.
func (p *program) commands(called string) (list []*cli.Command) {
	all := called == "" || isHelp(called)
	for _, c := range constructors() {
		if !all && c.name != called {
			continue
		}
		command := c.command(p)
		command.Flags = append(withNames(command.Flags), cli.HelpFlag)
		command.HideHelpCommand = true // an operand "help" is the ID of a container
		command.OnUsageError = p.usageError
		if command.BashComplete == nil {
			command.BashComplete = func(*cli.Context) {} // not the library's, which reads os.Args
		}
		list = append(list, command)
	}
	if list == nil {
		return p.commands("")
	}
	return list
}

// arrange declares the called command, or all commands, and returns the arguments in the form that
// the library reads.
func (p *program) arrange(app *cli.App, args []string) []string {
	global := scan(app.Flags, args, true)
	if len(global.operands) == 0 {
		app.Commands = p.commands("")
		return append([]string{name}, global.arranged()...)
	}
	called := global.operands[0]
	p.called = global.operands
	app.Commands = p.commands(called)
	if c := app.Command(called); c != nil {
		l := scan(c.Flags, global.operands[1:], endsFlags(called))
		if !isHelp(called) && l.asksForHelp() {
			l.operands = nil // the library would take them for commands
		}
		global.operands = append([]string{called}, l.arranged()...)
	}
	return append([]string{name}, global.arranged()...)
}

// unknownCommand is the action of the app itself: no known command is called.
func unknownCommand(ctx *cli.Context) error {
	if ctx.NArg() == 0 {
		return cli.ShowAppHelp(ctx)
	}
	return usagef("unknown command %q: see %s --help", ctx.Args().First(), name)
}

// usageError turns an error of the library about the command line into ours. The log is not open
// yet if a global flag is wrong.
func (p *program) usageError(ctx *cli.Context, err error, isCommand bool) error {
	if isCommand {
		return usagef("%s: %v", ctx.Command.Name, err)
	}
	if logErr := p.openLog(); logErr != nil {
		return logErr
	}
	return usagef("%v", err)
}

// errDone ends the program early and without an error.
var errDone = errors.New("done")

// runtime returns the library's view of the state directory.
func (p *program) runtime() *libcontainer.Runtime {
	return &libcontainer.Runtime{Root: p.root, Warn: p.log.warn, Note: p.log.note, CgroupManager: p.cgroups, Rootless: p.rootless, Interrupt: p.interrupt, TimerSlack: p.slack}
}

// creator returns the runtime for commands that create a container.
func (p *program) creator(ctx *cli.Context) *libcontainer.Runtime {
	r := p.runtime()
	if !ctx.Bool("no-seccomp-cache") {
		r.SeccompCache = seccompCache(os.Geteuid(), os.Getenv)
	}
	return r
}

// seccompCache returns the user's directory for compiled seccomp profiles, or "" if it is unknown.
func seccompCache(euid int, getenv func(string) string) string {
	const own = "orlop/seccomp"
	if euid == 0 {
		return "/var/cache/" + own
	}
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, own)
	}
	if dir := getenv("HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, ".cache", own)
	}
	return ""
}

// oneContainer is the action of a command that takes the ID of a container and nothing else.
func (p *program) oneContainer(do func(*libcontainer.Container) error) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if err := oneID(ctx); err != nil {
			return err
		}
		container, err := p.container(ctx)
		if err != nil {
			return err
		}
		return do(container)
	}
}

// container loads the container that the first operand names.
func (p *program) container(ctx *cli.Context) (*libcontainer.Container, error) {
	return p.runtime().Load(ctx.Args().First())
}
