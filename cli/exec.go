package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

func (p *program) execCommand() *command {
	return &command{
		usage:     "start a process in a container",
		argsUsage: idUsage + " [--] COMMAND [ARG...]  |  --process FILE " + idUsage,
		description: "The process is as the container's own in config.json, but for its arguments and what the flags say; or as FILE describes it.\n" +
			"The exit status is the process's; 255 when it could not be started.",
		flags: append(streamFlags(),
			preserveFlag(),
			flag{kind: kindBool, name: "detach", short: "d", usage: "return when the process runs"},
			flag{kind: kindString, name: "process", short: "p", usage: "JSON `FILE` with the process, as process in config.json"},
			flag{kind: kindBool, name: "tty", short: "t", usage: "give it a terminal"},
			flag{kind: kindBool, name: "interactive", short: "i", usage: "no effect: standard input is passed in any case (for those who type -it)"},
			flag{kind: kindString, name: "cwd", usage: "`PATH` of the folder in the container that it starts in"},
			flag{kind: kindStrings, name: "env", short: "e", usage: "set an environment variable, `NAME=VALUE`", keepSpace: true},
			flag{kind: kindString, name: "user", short: "u", usage: "`UID[:GID]` that it has"},
			flag{kind: kindStrings, name: "additional-gids", short: "g", usage: "a further group, `GID`"},
			flag{kind: kindStrings, name: "cap", short: "c", usage: "add `CAPABILITY`, such as CAP_NET_RAW, to its own"},
			flag{kind: kindBool, name: "no-new-privs", usage: "set the process's no_new_privs"},
			flag{kind: kindStrings, name: "cgroup", usage: "start it in the cgroup `[CONTROLLER[,CONTROLLER]:]PATH` below the container's"},
			flag{kind: kindBool, name: "ignore-paused", usage: "join a paused container, too"},
			flag{kind: kindString, name: "apparmor", usage: "the AppArmor `PROFILE` that confines it"},
			flag{kind: kindString, name: "process-label", usage: "the SELinux `LABEL` that it has"},
			subreaperFlag(),
		),
		othersFlags: true,
		action:      p.exec,
	}
}

func (p *program) exec(args *arguments) error {
	var err error
	if args.IsSet("process") {
		err = argsFor(args, 1, 1, "the id of a container and nothing else with --process")
	} else if err = argsFor(args, 2, -1, "the id of a container and a command"); err == nil && len(args.Others()) == 0 {
		err = usagef("exec: there is no command after --")
	}
	if err != nil {
		return err
	}
	if err := p.execProcess(args); err != nil {
		return execError{err}
	}
	return nil
}

func (p *program) execProcess(args *arguments) error {
	process, err := p.processFile(args) // before signals are caught, which do not end a read
	if err != nil {
		return err
	}
	if err := p.interruptible(); err != nil {
		return err
	}
	container, err := p.container(args)
	if err != nil {
		return err
	}
	if process == nil {
		if process, err = execSpec(args, container); err != nil {
			return err
		}
	}
	detach := args.Bool("detach")
	o := libcontainer.ExecOptions{IgnorePaused: args.Bool("ignore-paused"), Cgroups: args.StringSlice("cgroup")}
	if o.Streams, err = p.streams(args, process.Terminal, detach); err != nil {
		return err
	}
	in, err := inherited(args.Int("preserve-fds"), false)
	if err != nil {
		return err
	}
	o.Files = in.files
	closeOnExec()
	if detach {
		_, err := container.Exec(process, o)
		return err
	}
	f := newForeground(p, !args.Bool("no-subreaper"))
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

// processFile returns the process of --process, nil without.
func (p *program) processFile(args *arguments) (*specs.Process, error) {
	file := args.String("process")
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
func execSpec(args *arguments, container *libcontainer.Container) (*specs.Process, error) {
	process, err := container.Config()
	if err != nil {
		return nil, err
	}
	if process == nil {
		return nil, usagef("exec: the container's configuration has no process to start from: use --process")
	}
	return process, amendProcess(process, args)
}

// amendProcess changes the container's own process into the one that the flags describe.
func amendProcess(process *specs.Process, args *arguments) error {
	process.Args = args.Others()
	process.Terminal = args.Bool("tty")
	// The sockets that the first process was given are not this one's.
	process.Env = withoutListen(process.Env)
	for _, entry := range args.StringSlice("env") {
		process.Env = setEnv(process.Env, entry)
	}
	if cwd := args.String("cwd"); cwd != "" {
		process.Cwd = cwd
	}
	if args.IsSet("no-new-privs") {
		process.NoNewPrivileges = args.Bool("no-new-privs")
	}
	if profile := args.String("apparmor"); profile != "" {
		process.ApparmorProfile = profile
	}
	if label := args.String("process-label"); label != "" {
		process.SelinuxLabel = label
	}
	if user := args.String("user"); user != "" {
		if err := setUser(&process.User, user); err != nil {
			return err
		}
	}
	for _, gid := range args.StringSlice("additional-gids") {
		n, ok := parseUserID(gid)
		if !ok {
			return usagef("exec: --additional-gids %q: must be a number", gid)
		}
		process.User.AdditionalGids = append(process.User.AdditionalGids, n)
	}
	return addCapabilities(process, args.StringSlice("cap"))
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

// addCapabilities adds capabilities to those that the process may have and has. They do not become
// inheritable: a program that it executes must not get them by the file system's grace
// (CVE-2022-29162). Those that the configuration makes inheritable become ambient, so that another
// user than root has them, too.
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
