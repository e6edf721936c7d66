package cli

import (
	"errors"
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
		Usage:     "start a process in a container",
		ArgsUsage: idUsage + " COMMAND [ARG...]  |  --process FILE " + idUsage,
		Description: "The process is as the container's own in config.json, but for its arguments and what the flags say; or as FILE describes it.\n" +
			"The exit status is the process's; 255 when it could not be started.",
		Flags: append(streamFlags(),
			preserveFlag(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process runs"},
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "JSON `FILE` with the process, as process in config.json"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give it a terminal"},
			&cli.StringFlag{Name: "cwd", Usage: "`PATH` of the folder in the container that it starts in"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set an environment variable, `NAME=VALUE`", KeepSpace: true},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`UID[:GID]` that it has"},
			&cli.StringSliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "a further group, `GID`"},
			&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "add `CAPABILITY`, such as CAP_NET_RAW, to its own"},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "set the process's no_new_privs"},
			&cli.StringSliceFlag{Name: "cgroup", Usage: "start it in the cgroup `[CONTROLLER[,CONTROLLER]:]PATH` below the container's"},
			&cli.BoolFlag{Name: "ignore-paused", Usage: "join a paused container, too"},
			&cli.StringFlag{Name: "apparmor", Usage: "the AppArmor `PROFILE` that confines it"},
			&cli.StringFlag{Name: "process-label", Usage: "the SELinux `LABEL` that it has"},
			subreaperFlag(),
		),
		Action: p.exec,
	}
}

func (p *program) exec(c *cli.Context) error {
	var err error
	if c.IsSet("process") {
		err = argsFor(c, 1, 1, "the id of a container and nothing else with --process")
	} else {
		err = argsFor(c, 2, -1, "the id of a container and a command")
	}
	if err != nil {
		return err
	}
	if err := p.execProcess(c); err != nil {
		return execError{err}
	}
	return nil
}

func (p *program) execProcess(c *cli.Context) error {
	container, err := p.container(c)
	if err != nil {
		return err
	}
	process, err := execSpec(c, container)
	if err != nil {
		return err
	}
	detach := c.Bool("detach")
	o := libcontainer.ExecOptions{IgnorePaused: c.Bool("ignore-paused"), Cgroups: c.StringSlice("cgroup")}
	if o.Streams, err = p.streams(c, process.Terminal, detach); err != nil {
		return err
	}
	in, err := inherited(c.Int("preserve-fds"), false)
	if err != nil {
		return err
	}
	o.Files = in.files
	closeOnExec()
	if detach {
		_, err := container.Exec(process, o)
		return err
	}
	f := newForeground(p, !c.Bool("no-subreaper"))
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

// execSpec returns the process that the flags describe.
func execSpec(c *cli.Context, container *libcontainer.Container) (*specs.Process, error) {
	if file := c.String("process"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		process, err := specconv.ParseProcess(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return process, nil
	}
	process, err := container.Config()
	if err != nil {
		return nil, err
	}
	if process == nil {
		return nil, errors.New("exec: the container's configuration has no process to start from: use --process")
	}
	return process, amendProcess(process, c)
}

// amendProcess changes the container's own process into the one that the flags describe.
func amendProcess(process *specs.Process, c *cli.Context) error {
	process.Args = c.Args().Tail()
	process.Terminal = c.Bool("tty")
	// The sockets that the first process was given are not this one's.
	process.Env = withoutListen(process.Env)
	for _, entry := range c.StringSlice("env") {
		process.Env = setEnv(process.Env, entry)
	}
	if cwd := c.String("cwd"); cwd != "" {
		process.Cwd = cwd
	}
	if c.IsSet("no-new-privs") {
		process.NoNewPrivileges = c.Bool("no-new-privs")
	}
	if profile := c.String("apparmor"); profile != "" {
		process.ApparmorProfile = profile
	}
	if label := c.String("process-label"); label != "" {
		process.SelinuxLabel = label
	}
	if user := c.String("user"); user != "" {
		if err := setUser(&process.User, user); err != nil {
			return err
		}
	}
	for _, gid := range c.StringSlice("additional-gids") {
		n, ok := parseUserID(gid)
		if !ok {
			return usagef("exec: --additional-gids %q: must be a number", gid)
		}
		process.User.AdditionalGids = append(process.User.AdditionalGids, n)
	}
	return addCapabilities(process, c.StringSlice("cap"))
}

// setEnv adds a variable to an environment, in place of an earlier one of its name.
func setEnv(env []string, entry string) []string {
	key, _, _ := strings.Cut(entry, "=")
	env = slices.DeleteFunc(env, func(other string) bool {
		otherKey, _, _ := strings.Cut(other, "=")
		return otherKey == key
	})
	return append(env, entry)
}

// setUser takes UID or UID:GID. They are numbers, never names: a name that looks like a number could be anybody
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

// parseUserID parses a user's or group's number. The greatest one means none to the kernel.
func parseUserID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// addCapabilities adds capabilities to those that the process may have and has. They do not become inheritable, and so
// not ambient either: a program that it executes must not get them by the file system's grace (CVE-2022-29162).
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
		for _, set := range []*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted} {
			if !slices.Contains(*set, name) {
				*set = append(*set, name)
			}
		}
	}
	return nil
}
