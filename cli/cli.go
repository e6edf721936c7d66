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
//
// A signal that interrupts create, run, start or exec ends the program when what was begun is undone.
package cli

import (
	"errors"
	"os"
	"path/filepath"

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
	interrupt             *os.File // see interruptible
	status                int      // exit status of a call without error: that of the container's process
	slack                 int      // timer slack that the program was started with, in nanoseconds
}

// Main runs the command line args, of which the first is the program's name, and returns the exit status. The streams are
// those of a container in the foreground, too.
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

// run finds the command that is called, and calls it.
func (p *program) run(line []string) error {
	if len(line) > 0 {
		line = line[1:]
	}
	global, err := p.mainCommand().parse(line)
	if err != nil {
		return err
	}
	called := global.First()
	if global.Bool("help") {
		return p.showHelp(called)
	}
	if err := p.before(global); err != nil {
		return err
	}
	if global.NArg() == 0 {
		return p.showHelp("")
	}
	c := p.command(called)
	if c == nil {
		return usagef("unknown command %q: see %s --help", called, name)
	}
	args, err := c.parse(global.Tail())
	if err != nil {
		return err
	}
	if args.Bool("help") && !isHelp(called) { // "help --help" is help
		return p.showHelp(called)
	}
	return c.action(args)
}

// errDone ends the program early without an error: all was said.
var errDone = errors.New("done")

// builder makes one command. The table of commands is one of builders since a call needs one command only.
type builder struct {
	name  string
	build func(*program) *command
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

func (b *builder) command(p *program) *command {
	c := b.build(p)
	c.name = b.name
	return c
}

func findBuilder(called string) (b builder, found bool) {
	for _, b := range builders() {
		if b.name == called {
			return b, true
		}
	}
	return builder{}, false
}

// command returns the command of this name, nil if there is none.
func (p *program) command(called string) *command {
	if isHelp(called) {
		return p.helpCommand()
	}
	if b, found := findBuilder(called); found {
		return b.command(p)
	}
	return nil
}

// runtime returns the library's view of the state folder.
func (p *program) runtime() *libcontainer.Runtime {
	return &libcontainer.Runtime{Root: p.root, Warn: p.log.warn, Note: p.log.note, CgroupManager: p.cgroups, Rootless: p.rootless, Interrupt: p.interrupt, TimerSlack: p.slack}
}

// creator is runtime for commands that create a container.
func (p *program) creator(args *arguments) *libcontainer.Runtime {
	r := p.runtime()
	if !args.Bool("no-seccomp-cache") {
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
func (p *program) oneContainer(do func(*libcontainer.Container) error) action {
	return func(args *arguments) error {
		if err := oneID(args); err != nil {
			return err
		}
		container, err := p.container(args)
		if err != nil {
			return err
		}
		return do(container)
	}
}

// container loads the container that the first argument names.
func (p *program) container(args *arguments) (*libcontainer.Container, error) {
	return p.runtime().Load(args.First())
}
