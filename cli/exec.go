package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "start a process in a container",
		UsageText: name + " exec [command options] " + idUsage + " [--] COMMAND [ARG...]\n" + name + " exec [command options] --process FILE " + idUsage,
		Description: "Starts COMMAND as a process like that of config.json, changed by the flags; or starts the process that FILE describes.\n" +
			"The exit status is that of the process; 255 if it could not be started.",
		Flags: append(streamFlags(),
			preserveFlag(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process runs"},
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "read the process from the JSON `FILE`, as process in config.json"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "no effect: standard input is always passed (for those who type -it)"},
			&cli.StringFlag{Name: "cwd", Usage: "start in the directory `PATH` of the container"},
			&cli.GenericFlag{Name: "env", Aliases: []string{"e"}, Usage: "set the environment variable `NAME=VALUE`; may be repeated", Value: new(repeated)},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `UID[:GID]`"},
			&cli.GenericFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "add the supplementary group `GID`; may be repeated", Value: new(repeated)},
			&cli.GenericFlag{Name: "cap", Aliases: []string{"c"}, Usage: "add the `CAPABILITY`, such as CAP_NET_RAW; may be repeated", Value: new(repeated)},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "set no_new_privs"},
			&cli.GenericFlag{Name: "cgroup", Usage: "start in the cgroup `[CONTROLLER[,CONTROLLER]:]PATH` below the container's; may be repeated", Value: new(repeated)},
			&cli.BoolFlag{Name: "ignore-paused", Usage: "also join a paused container"},
			&cli.StringFlag{Name: "apparmor", Usage: "confine the process by the AppArmor `PROFILE`"},
			&cli.StringFlag{Name: "process-label", Usage: "give the process the SELinux `LABEL`"},
			subreaperFlag(),
		),
		BashComplete: p.completeExec,
		Action:       p.exec,
	}
}

// repeated is the value of a flag that may be repeated: its arguments, as they are. A
// cli.StringSlice splits them at commas, trims them, and passes those of a flag with two names
// through JSON, which changes bytes that are not UTF-8.
type repeated []string

func (r *repeated) Set(value string) error {
	if value != bothNames {
		*r = append(*r, value)
	}
	return nil
}

func (r *repeated) String() string { return "" }

// Serialize returns what the library sets the flag's other name to. Both names share the value.
func (r *repeated) Serialize() string { return bothNames }

// allOf returns the arguments of a flag that may be repeated.
func allOf(ctx *cli.Context, name string) []string { return *ctx.Generic(name).(*repeated) }

const bothNames = "\x00" // no argument has a NUL

// completeExec completes the container: a running one, or with --ignore-paused also a paused one.
func (p *program) completeExec(ctx *cli.Context) {
	want := running
	if ctx.Bool("ignore-paused") {
		want |= paused
	}
	p.completeIDs(want)(ctx)
}

func (p *program) exec(ctx *cli.Context) error {
	var err error
	if ctx.IsSet("process") {
		err = argsFor(ctx, 1, 1, "the ID of a container and nothing else with --process")
	} else if err = argsFor(ctx, 2, -1, "the ID of a container and a command"); err == nil && len(programArgs(ctx)) == 0 {
		err = usagef("exec: no command after --")
	}
	if err != nil {
		return err
	}
	if err := p.execProcess(ctx); err != nil {
		return execError{err}
	}
	return nil
}

func (p *program) execProcess(ctx *cli.Context) error {
	process, err := p.processFile(ctx) // before signals are caught, which do not end a read
	if err != nil {
		return err
	}
	if err := p.interruptible(); err != nil {
		return err
	}
	container, err := p.container(ctx)
	if err != nil {
		return err
	}
	if process == nil {
		if process, err = execSpec(ctx, container); err != nil {
			return err
		}
	}
	detach := ctx.Bool("detach")
	o := libcontainer.ExecOptions{IgnorePaused: ctx.Bool("ignore-paused"), Cgroups: allOf(ctx, "cgroup")}
	if o.Streams, err = p.streams(ctx, process.Terminal, detach); err != nil {
		return err
	}
	in, err := inherited(ctx.Int("preserve-fds"), false)
	if err != nil {
		return err
	}
	o.Files = in.files
	closeOnExec()
	if detach {
		_, err := container.Exec(process, o)
		return err
	}
	f := newForeground(p, !ctx.Bool("no-subreaper"))
	o.BeforeStart = f.ready
	p.sizeTerminal(process)
	started, err := container.Exec(process, o)
	if err != nil {
		return err
	}
	p.log.succeed()
	p.status, err = f.wait(started)
	return err
}

// processFile returns the process of --process, or nil without the flag.
func (p *program) processFile(ctx *cli.Context) (*specs.Process, error) {
	file := ctx.String("process")
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	process, warnings, err := specconv.ParseProcess(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, w := range warnings {
		p.log.warn(w)
	}
	return process, nil
}

// execSpec returns the process that the flags describe.
func execSpec(ctx *cli.Context, container *libcontainer.Container) (*specs.Process, error) {
	process, err := container.Config()
	if err != nil {
		return nil, err
	}
	if process == nil {
		return nil, usagef("exec: the container's configuration has no process to start from: use --process")
	}
	return process, amendProcess(process, ctx)
}

// amendProcess applies the flags to the process of the container's configuration.
func amendProcess(process *specs.Process, ctx *cli.Context) error {
	process.Args = programArgs(ctx)
	process.Terminal = ctx.Bool("tty")
	// The sockets passed to the first process are not passed to this one.
	process.Env = withoutListen(process.Env)
	process.Env = specconv.Environment(append(process.Env, allOf(ctx, "env")...))
	if cwd := ctx.String("cwd"); cwd != "" {
		process.Cwd = cwd
	}
	if ctx.IsSet("no-new-privs") {
		process.NoNewPrivileges = ctx.Bool("no-new-privs")
	}
	if profile := ctx.String("apparmor"); profile != "" {
		process.ApparmorProfile = profile
	}
	if label := ctx.String("process-label"); label != "" {
		process.SelinuxLabel = label
	}
	if user := ctx.String("user"); user != "" {
		if err := setUser(&process.User, user); err != nil {
			return err
		}
	}
	for _, gid := range allOf(ctx, "additional-gids") {
		n, ok := parseUserID(gid)
		if !ok {
			return usagef("exec: --additional-gids %q: must be a number", gid)
		}
		process.User.AdditionalGids = append(process.User.AdditionalGids, n)
	}
	return addCapabilities(process, allOf(ctx, "cap"))
}

// setUser parses UID or UID:GID. Both are numbers: a user of the image could be named like a number
// (CVE-2016-3697).
func setUser(u *specs.User, s string) error {
	uid, gid, hasGID := strings.Cut(s, ":")
	n, ok := parseUserID(uid)
	if ok {
		u.UID = n
	}
	if ok && hasGID {
		n, ok = parseUserID(gid)
		u.GID = n
	}
	if !ok {
		return usagef("exec: --user %q: must be UID or UID:GID, both numbers", s)
	}
	return nil
}

// parseUserID parses a user or group ID. The kernel reserves the greatest number for "no ID".
func parseUserID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// addCapabilities adds capabilities to the process's bounding, effective and permitted sets. They
// do not become inheritable, or a program with file capabilities would get them (CVE-2022-29162).
// Those that the configuration makes inheritable become ambient, so that a user other than root has
// them, too.
func addCapabilities(process *specs.Process, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if process.Capabilities == nil {
		process.Capabilities = new(specs.LinuxCapabilities)
	}
	sets := process.Capabilities
	for _, name := range names {
		if _, ok := specconv.CapabilityNumber(name); !ok {
			return usagef("exec: --cap %q: unknown capability", name)
		}
		add := []*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted}
		if slices.Contains(sets.Inheritable, name) {
			add = append(add, &sets.Ambient)
		}
		for _, set := range add {
			if !slices.Contains(*set, name) {
				*set = append(*set, name)
			}
		}
	}
	return nil
}
