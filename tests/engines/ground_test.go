package engines

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// The tests run in a second process. The first one stays outside and keeps the ground on which the second one stands:
//
//	first    makes a folder, and a cgroup of the same name in each hierarchy; starts the second one in them
//	second   has mount, network and cgroup namespaces of its own: what engines call the root of a
//	         hierarchy is its cgroup
//	first    when the second one has ended, however that was: kills what is left in the cgroups, removes them and
//	         the folder, and fails when there was anything
//
// So engines may make cgroups wherever they like (each has its own names for parents, in each hierarchy, and keeps
// them) and nothing of it stays on the host. When the first one is killed, the next one that is started clears up.
//
// Where systemd keeps the cgroups there are none of the ground's own: the containers are units in one slice.
const groundName = "orlop-engines-"

// ground is what the first process keeps.
type ground struct {
	name        string
	dir         *os.File // the folder; locked as long as the ground is in use
	hierarchies []*hierarchy
	before      []string // see host
}

// supervise runs the tests in a second process and returns its status. An error says why there is no ground for that.
func supervise() (int, error) {
	runtime.LockOSThread() // with which the second process ends, should this one be killed
	clearAbandoned()
	g, err := openGround()
	if err != nil {
		return 0, errors.Join(err, g.close())
	}
	status, err := g.run()
	if err = errors.Join(err, g.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	return status, nil
}

// openGround makes the ground, or what there can be of it.
func openGround() (*ground, error) {
	g := &ground{name: groundName + strconv.Itoa(os.Getpid()), before: host()}
	dir := filepath.Join(os.TempDir(), g.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return g, err
	}
	var err error
	if g.dir, err = lock(dir); err != nil || onSystemd() {
		return g, err
	}
	if g.hierarchies, err = hierarchies(); err != nil {
		return g, err
	}
	for _, h := range g.hierarchies {
		path := h.path(g.name)
		if err := os.Mkdir(path, 0o755); err != nil {
			return g, fmt.Errorf("make a cgroup of %q: %w", h.controllers, err)
		}
		if h.own, err = lock(path); err != nil {
			return g, err
		}
		if err := h.prepare(g.name); err != nil {
			return g, err
		}
	}
	return g, nil
}

// onSystemd tells whether systemd is the machine's first process.
func onSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// run starts the second process in the ground's cgroups, and waits for its end.
func (g *ground) run() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	temporary := filepath.Join(g.dir.Name(), "tmp")
	if err := errors.Join(os.Mkdir(temporary, 0), os.Chmod(temporary, 0o777|fs.ModeSticky)); err != nil {
		return 0, err
	}
	cmd.Env = append(os.Environ(), groundEnv+"="+g.dir.Name(), "TMPDIR="+temporary, harness.PrivateEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if len(g.hierarchies) > 0 {
		cmd.SysProcAttr.Unshareflags |= unix.CLONE_NEWCGROUP
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	defer signal.Stop(signals)

	err = g.move(func(h *hierarchy) string { return h.path(g.name) })
	if err == nil {
		err = cmd.Start()
	}
	err = errors.Join(err, g.move(func(h *hierarchy) string { return h.path(h.from) }))
	if cmd.Process == nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			cmd.Process.Signal(sig)
		case end := <-ended:
			if exit := (*exec.ExitError)(nil); errors.As(end, &exit) {
				if exit.ExitCode() < 0 {
					return 1, fmt.Errorf("the tests' process: %w", exit)
				}
				return exit.ExitCode(), err
			}
			return 0, errors.Join(err, end)
		}
	}
}

// move moves this process into a cgroup of each hierarchy.
func (g *ground) move(to func(*hierarchy) string) error {
	for _, h := range g.hierarchies {
		if err := os.WriteFile(filepath.Join(to(h), "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter a cgroup of %q: %w", h.controllers, err)
		}
	}
	return nil
}

// close removes the ground, and returns what was left in it, or of it on the host.
func (g *ground) close() error {
	left := clear(g.name, g.hierarchies)
	for _, h := range g.hierarchies {
		h.own.Close()
		h.release()
	}
	if g.dir != nil {
		if onSystemd() {
			stopSlice(g.name)
		}
		if err := os.RemoveAll(g.dir.Name()); err != nil {
			left = append(left, err.Error())
		}
		g.dir.Close()
	}
	for _, trace := range host() {
		if !slices.Contains(g.before, trace) {
			left = append(left, trace)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	return errors.New("left behind by the tests:\n\t" + strings.Join(slices.Compact(left), "\n\t"))
}

// clearAbandoned clears up after runs that were killed with their first process.
func clearAbandoned() {
	if !onSystemd() {
		all, err := hierarchies()
		if err != nil {
			return
		}
		for _, h := range all {
			found, _ := filepath.Glob(h.path(groundName + "*"))
			for _, path := range found {
				if own, err := lock(path); err == nil {
					own.Close()
					clear(filepath.Base(path), all)
				}
			}
		}
		for _, h := range all {
			h.release()
		}
	}
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), groundName+"*"))
	for _, path := range found {
		if dir, err := lock(path); err == nil {
			if onSystemd() {
				stopSlice(filepath.Base(path))
			}
			os.RemoveAll(path)
			dir.Close()
		}
	}
}

// slice is the unit in which a ground's containers are.
func slice(name string) string { return strings.ReplaceAll(name, "-", "") + ".slice" }

// stopSlice ends it, with all units in it.
func stopSlice(name string) {
	exec.Command("systemctl", "stop", slice(name)).Run() //nolint:errcheck // it is mostly gone
}

// lock opens a folder that is in use by nobody, and marks it as used for as long as it is open.
func lock(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return dir, nil
}

// host names what engines could change on the host: hierarchies of cgroups and the folders for their mounts, and mounts. Of
// mounts those that are about the tests or cgroups: others come and go.
func host() []string {
	var found []string
	entries, _ := os.ReadDir("/sys/fs/cgroup")
	if harness.CgroupMount("") != "/sys/fs/cgroup" {
		for _, entry := range entries {
			found = append(found, "folder /sys/fs/cgroup/"+entry.Name())
		}
	}
	data, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(data)) {
		found = append(found, "cgroup hierarchy "+strings.Split(line, ":")[1])
	}
	mounts, _ := harness.MountsBelow("")
	for _, path := range mounts {
		if strings.Contains(path, groundName) || strings.HasPrefix(path, "/sys/fs/cgroup") {
			found = append(found, "mount "+path)
		}
	}
	return found
}
