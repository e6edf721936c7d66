// Package cli is orlop's command line: flags, output, the log, and exit statuses. What the commands do is
// libcontainer's.
//
// Exit statuses:
//
//	0    done
//	1    failed, or wrongly called; the reason is on standard error and in the log
//	255  exec: the process could not be started (run: 1)
//	N    run and exec in the foreground: what the process returned
//	128+N  run and exec in the foreground: signal N ended the process
package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

// name is the program's name in messages and help, whatever the file is called.
const name = "orlop"

// program is one call of the command line.
type program struct {
	version               string
	stdin, stdout, stderr *os.File
	log                   logger
	root                  string // state folder
	rootless              libcontainer.Rootless
	cgroups               libcontainer.CgroupManager
	status                int // exit status of a call without error: that of the container's process
}

// Main runs the command line args, of which the first is the program's name, and returns the exit status. The streams are
// those of a container in the foreground, too.
func Main(version string, args []string, stdin, stdout, stderr *os.File) int {
	p := &program{version: version, stdin: stdin, stdout: stdout, stderr: stderr, log: newLogger(stderr)}
	err := p.run(args)
	if errors.Is(err, errDone) {
		err = nil
	}
	if err = p.log.finish(err); err != nil {
		return exitStatus(err)
	}
	return p.status
}

// Describe returns the command line with all of its commands, for those who write about it: it is not to be run.
func Describe(version string) *cli.App {
	app := new(program).app([]string{name, "--help"})
	app.Version = version
	return app
}

func (p *program) run(args []string) error {
	app := p.app(args)
	args, err := arrange(app, args)
	if err != nil {
		return err
	}
	return app.Run(args)
}

// errDone ends the program early without an error: all was said.
var errDone = errors.New("done")

// builder makes one command. The table of commands is one of builders since a call needs one command only, and the
// flags of all take longer to build than that one to run.
type builder struct {
	name  string
	build func(*program) *cli.Command
	takes statuses // of the containers whose ids complete it
}

func builders() [20]builder {
	return [...]builder{
		{"create", (*program).createCommand, 0},
		{"start", (*program).startCommand, created},
		{"run", (*program).runCommand, 0},
		{"state", (*program).stateCommand, anyStatus},
		{"list", (*program).listCommand, 0},
		{"exec", (*program).execCommand, running},
		{"kill", (*program).killCommand, live},
		{"delete", (*program).deleteCommand, stopped},
		{"pause", (*program).pauseCommand, created | running},
		{"resume", (*program).resumeCommand, paused},
		{"update", (*program).updateCommand, live},
		{"ps", (*program).psCommand, live},
		{"events", (*program).eventsCommand, live},
		{"stats", (*program).statsCommand, live},
		{"spec", (*program).specCommand, 0},
		{"plan", (*program).planCommand, 0},
		{"check", (*program).checkCommand, 0},
		{"info", (*program).infoCommand, 0},
		{"features", (*program).featuresCommand, 0},
		{"completion", (*program).completionCommand, 0},
	}
}

// commands builds the commands whose names are among the arguments: the one that is called must be. It builds all of them
// when none is, or when help may be asked for.
func (p *program) commands(args []string) []*cli.Command {
	var list []*cli.Command
	all := slices.ContainsFunc(args, func(arg string) bool {
		return arg == "help" || arg == "h" || arg == "--help" || arg == "-help" || arg == "-h"
	})
	table := builders()
	for {
		for _, b := range table {
			if all || slices.Contains(args, b.name) {
				c := b.build(p)
				c.Name = b.name
				c.Flags = quick(c.Flags)
				// Without this a container named "help" could not be addressed.
				c.HideHelpCommand = true
				c.OnUsageError = usage
				list = append(list, c)
			}
		}
		if all || len(list) > 0 {
			return list
		}
		all = true
	}
}

func (p *program) app(args []string) *cli.App {
	return &cli.App{
		Name:                      name,
		HelpName:                  name,
		Usage:                     "an OCI container runtime",
		ArgsUsage:                 "",
		Compiled:                  time.Unix(0, 0), // not asked of the program's file at each start
		HideVersion:               true,            // its printer is a variable of the package; version.go has ours
		Flags:                     quick(p.globalFlags()),
		Before:                    p.before,
		Action:                    p.noCommand,
		Commands:                  p.commands(args),
		OnUsageError:              usage,
		ExitErrHandler:            func(*cli.Context, error) {}, // Main returns the status, it doesn't exit
		DisableSliceFlagSeparator: true,                         // --env A=1,2 is one
		CustomAppHelpTemplate:     cli.AppHelpTemplate + exitStatuses,
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
	}
}

const exitStatuses = `
EXIT STATUS:
   0      done
   1      failed, or wrongly called: the reason is on standard error and in the log
   255    exec: the process could not be started
   N      run and exec in the foreground: what the process returned
   128+N  run and exec in the foreground: signal N ended the process
`

// noCommand is the action of a call that names no command that there is.
func (p *program) noCommand(c *cli.Context) error {
	if c.Bool("version") {
		return p.printVersion()
	}
	if c.Args().Present() {
		return usagef("unknown command %q: see %s --help", c.Args().First(), name)
	}
	return cli.ShowAppHelp(c)
}

// runtime returns the library's view of the state folder.
func (p *program) runtime() *libcontainer.Runtime {
	return &libcontainer.Runtime{Root: p.root, Warn: p.log.warn, CgroupManager: p.cgroups, Rootless: p.rootless}
}

// creator is runtime for commands that create a container.
func (p *program) creator(c *cli.Context) *libcontainer.Runtime {
	r := p.runtime()
	if !c.Bool("no-seccomp-cache") {
		r.SeccompCache = cacheFolder(os.Geteuid(), os.Getenv)
	}
	return r
}

// cacheFolder returns the user's folder for compiled seccomp profiles, "" if it is not known.
func cacheFolder(euid int, getenv func(string) string) string {
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

// oneContainer is the action of a command that takes a container's id and nothing else.
func (p *program) oneContainer(do func(*libcontainer.Container) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := oneID(c); err != nil {
			return err
		}
		container, err := p.container(c)
		if err != nil {
			return err
		}
		return do(container)
	}
}

// container loads the container that the first argument names.
func (p *program) container(c *cli.Context) (*libcontainer.Container, error) {
	return p.runtime().Load(c.Args().First())
}
