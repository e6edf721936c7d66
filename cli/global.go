package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orlop/orlop/libcontainer"
)

// Where containers are known, by default.
const (
	rootFolder    = "/run/orlop" // root's
	userFolder    = "orlop"      // below XDG_RUNTIME_DIR, another user's
	xdgRuntimeDir = "XDG_RUNTIME_DIR"
)

// mainCommand is the program itself: its first operand is the name of a command, and what follows belongs to that.
func (p *program) mainCommand() *command {
	return &command{name: name, usage: "an OCI container runtime", flags: globalFlags(), othersFlags: true}
}

func globalFlags() []flag {
	return []flag{
		{kind: kindString, name: "root", usage: "`FOLDER` of the containers' state, in a tmpfs (default: /run/orlop, or $XDG_RUNTIME_DIR/orlop without root's rights)"},
		{kind: kindString, name: "log", usage: "append warnings and the error to `FILE`, not warnings to standard error"},
		choiceOf(flag{name: "log-format", usage: "`FORMAT` of the log"}, "text", "json"),
		choiceOf(flag{name: "log-level", usage: "least `LEVEL` that is logged", initial: "warning"}, "error", "warning", "info", "debug"),
		{kind: kindBool, name: "debug", usage: "the same as --log-level debug"},
		choiceOf(flag{name: "rootless", usage: "whether the caller lacks root's rights, `WHEN`", initial: "auto"}, "true", "false", "auto"),
		choiceOf(flag{name: "cgroup-manager", usage: "who keeps the cgroups of new containers, `WHO`"},
			string(libcontainer.CgroupfsManager), string(libcontainer.SystemdManager), string(libcontainer.DisabledManager)),
		{kind: kindBool, name: "systemd-cgroup", usage: "the same as --cgroup-manager systemd; linux.cgroupsPath is then SLICE:PREFIX:NAME"},
		{kind: kindBool, name: "version", short: "v", usage: "print the version"},
	}
}

// before takes the global flags. It runs before any command.
func (p *program) before(args *arguments) (err error) {
	if args.Bool("version") {
		if err := p.printVersion(); err != nil {
			return err
		}
		return errDone
	}
	if err := p.openLog(args); err != nil {
		return err
	}
	if p.cgroups, err = cgroupManager(args); err != nil {
		return err
	}
	if err := p.setRoot(args.String("root"), args.String("rootless")); err != nil {
		return err
	}
	p.log.debug(fmt.Sprintf("%s %s: %q, state in %s", name, p.version, args.Operands(), p.root))
	return nil
}

// setRoot takes the flags that say where containers are known.
func (p *program) setRoot(root, rootless string) (err error) {
	if p.rootless, err = parseRootless(rootless); err != nil {
		return err
	}
	p.root = root
	if root == "" {
		p.root = defaultRoot(p.rootless, os.Geteuid(), os.Getenv, os.ReadFile)
	} else if p.root, err = filepath.Abs(root); err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	return nil
}

// cgroupManager takes the flags that say who keeps cgroups.
func cgroupManager(args *arguments) (libcontainer.CgroupManager, error) {
	word, err := choice(args, "cgroup-manager")
	if err != nil {
		return "", err
	}
	m := libcontainer.CgroupManager(word)
	if !args.Bool("systemd-cgroup") {
		return m, nil
	}
	if args.IsSet("cgroup-manager") && m != libcontainer.SystemdManager {
		return "", usagef("--systemd-cgroup with --cgroup-manager %s: one of both can hold", string(m))
	}
	return libcontainer.SystemdManager, nil
}

func (p *program) openLog(args *arguments) error {
	format, err := choice(args, "log-format")
	if err != nil {
		return err
	}
	p.log.json = format == "json"
	level, ok := args.String("log-level"), false
	if p.log.level, ok = parseLevel(level); !ok {
		return usagef("--log-level %q: must be error, warning, info or debug", level)
	}
	if args.Bool("debug") {
		p.log.level = levelDebug
	}
	file := args.String("log")
	if file == "" || file == "/dev/stderr" {
		return nil
	}
	// Synchronous, as with runc: the engine looks into it when we have ended, and may be on the other side of a crash.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o644)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	p.log.file = f
	return nil
}

// parseRootless parses the value of --rootless.
func parseRootless(s string) (libcontainer.Rootless, error) {
	if s == "auto" {
		return libcontainer.RootlessAuto, nil
	}
	yes, err := strconv.ParseBool(s)
	switch {
	case err != nil:
		return 0, usagef("--rootless %q: must be true, false or auto", s)
	case yes:
		return libcontainer.RootlessYes, nil
	}
	return libcontainer.RootlessNo, nil
}

// defaultRoot returns the state folder for a caller who names none, as runc chooses it: root in a user namespace is a
// user who lacks root's rights, unless USER says that it is the namespace's own root.
func defaultRoot(r libcontainer.Rootless, euid int, getenv func(string) string, readFile func(string) ([]byte, error)) string {
	xdg := getenv(xdgRuntimeDir)
	if xdg == "" || r == libcontainer.RootlessNo {
		return rootFolder
	}
	if r == libcontainer.RootlessAuto && euid == 0 {
		idMap, err := readFile("/proc/self/uid_map")
		if err != nil || initialIDMap(string(idMap)) || getenv("USER") == "root" {
			return rootFolder
		}
	}
	return filepath.Join(xdg, userFolder)
}

// initialIDMap reports whether a uid_map maps all ids to themselves, as the initial user namespace's does.
func initialIDMap(idMap string) bool {
	fields := strings.Fields(idMap)
	return len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
}
