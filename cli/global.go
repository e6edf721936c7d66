package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/orlop/orlop/libcontainer"
)

// The default state directories.
const (
	rootDir       = "/run/orlop" // root's
	userDir       = "orlop"      // below XDG_RUNTIME_DIR, another user's
	xdgRuntimeDir = "XDG_RUNTIME_DIR"
)

func (p *program) globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", Usage: "keep the state of containers in `DIRECTORY`, on a tmpfs (default: /run/orlop, or $XDG_RUNTIME_DIR/orlop for other users than root)"},
		&cli.StringFlag{Name: "log", Usage: "append warnings and the error to `FILE`, and print no warnings on standard error", Destination: &p.log.path},
		choiceFlag(cli.GenericFlag{Name: "log-format", Usage: "log in this `FORMAT`"},
			choice{words: []string{"text", "json"}, parse: p.log.setFormat}),
		choiceFlag(cli.GenericFlag{Name: "log-level", Usage: "log from this `LEVEL` on"},
			choice{words: levels(), word: "warning", parse: p.log.setLevel}),
		&cli.BoolFlag{Name: "debug", Usage: "the same as --log-level debug"},
		choiceFlag(cli.GenericFlag{Name: "rootless", Usage: "`WHETHER` the caller lacks root's privileges"},
			choice{words: []string{"true", "false", "auto"}, word: "auto", parse: p.setRootless}),
		choiceFlag(cli.GenericFlag{Name: "cgroup-manager", Usage: "manage the cgroups of new containers by this `MANAGER`"},
			choice{words: []string{string(libcontainer.CgroupfsManager), string(libcontainer.SystemdManager), string(libcontainer.DisabledManager)}}),
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "the same as --cgroup-manager systemd, which reads linux.cgroupsPath as SLICE:PREFIX:NAME"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
	}
}

// before applies the global flags. It runs before any command.
func (p *program) before(ctx *cli.Context) (err error) {
	if ctx.Bool("version") {
		if err := p.printVersion(); err != nil {
			return err
		}
		return errDone
	}
	if ctx.Bool("debug") {
		p.log.level = levelDebug
	}
	if err := p.openLog(); err != nil {
		return err
	}
	if p.cgroups, err = cgroupManager(ctx); err != nil {
		return err
	}
	if err := p.setRoot(ctx.String("root")); err != nil {
		return err
	}
	p.log.debug(fmt.Sprintf("%s %s: %q, state in %s", name, p.version, p.called, p.root))
	return nil
}

// setRoot sets the state directory.
func (p *program) setRoot(root string) (err error) {
	if root == "" {
		p.root = defaultRoot(p.rootless, os.Geteuid(), os.Getenv, os.ReadFile)
	} else if p.root, err = filepath.Abs(root); err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	return nil
}

// cgroupManager returns the cgroup manager that the two flags for it choose.
func cgroupManager(ctx *cli.Context) (libcontainer.CgroupManager, error) {
	m := libcontainer.CgroupManager(ctx.String("cgroup-manager"))
	if !ctx.Bool("systemd-cgroup") {
		return m, nil
	}
	if ctx.IsSet("cgroup-manager") && m != libcontainer.SystemdManager {
		return "", usagef("--systemd-cgroup contradicts --cgroup-manager %s", string(m))
	}
	return libcontainer.SystemdManager, nil
}

func (p *program) openLog() error {
	if p.log.path == "" || p.log.path == "/dev/stderr" {
		return nil
	}
	// Synchronous, as with runc: the engine reads it when we have exited, perhaps after a crash.
	f, err := os.OpenFile(p.log.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o644)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	p.log.file = f
	return nil
}

// setRootless parses the value of --rootless.
func (p *program) setRootless(value string) (ok bool) {
	p.rootless, ok = parseRootless(value)
	return ok
}

func parseRootless(value string) (r libcontainer.Rootless, ok bool) {
	if value == "auto" {
		return libcontainer.RootlessAuto, true
	}
	yes, err := strconv.ParseBool(value)
	if yes {
		return libcontainer.RootlessYes, true
	}
	return libcontainer.RootlessNo, err == nil
}

// defaultRoot returns the state directory for a caller who names none, as runc chooses it: root in
// a user namespace counts as another user, unless USER says that it is the namespace's own root.
func defaultRoot(r libcontainer.Rootless, euid int, getenv func(string) string, readFile func(string) ([]byte, error)) string {
	xdg := getenv(xdgRuntimeDir)
	if xdg == "" || r == libcontainer.RootlessNo {
		return rootDir
	}
	if r == libcontainer.RootlessAuto && euid == 0 {
		idMap, err := readFile("/proc/self/uid_map")
		if err != nil || initialIDMap(string(idMap)) || getenv("USER") == "root" {
			return rootDir
		}
	}
	return filepath.Join(xdg, userDir)
}

// initialIDMap reports whether a uid_map maps every ID to itself, as in the initial user namespace.
func initialIDMap(idMap string) bool {
	fields := strings.Fields(idMap)
	return len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295"
}
