package intelrdt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// A Group is a container's place in the resctrl file system.
type Group struct {
	// Dir is the folder of the control group, and Monitor that of the monitoring group, "" without one.
	Dir, Monitor string
	// New says that the control group is made for the container, and removed with it. The monitoring group always is.
	New bool

	root   string
	config *specs.LinuxIntelRdt
	made   []string // folders that Make has made
}

// Plan works out which groups a container is to be in, and which of them have to be made, and changes nothing. The error names the
// field that cannot be had: it is ErrNoResctrl when there is no resctrl file system.
func Plan(id string, config *specs.LinuxIntelRdt) (*Group, error) {
	root, err := Find()
	if err != nil {
		return nil, fieldError("linux.intelRdt", err)
	}
	return plan(root, id, config)
}

func plan(root, id string, config *specs.LinuxIntelRdt) (*Group, error) {
	g := &Group{root: root, config: config}
	field, name := "linux.intelRdt.closID", config.ClosID
	if name == "" {
		field, name = "linux.intelRdt", id
	}
	g.Dir = filepath.Join(root, name) // "/" is the root itself
	group, err := isGroup(g.Dir)
	if err != nil {
		return nil, fieldError(field, err)
	}
	if !group {
		_, err := os.Lstat(g.Dir)
		switch {
		case err == nil:
			return nil, fieldError(field, fmt.Errorf("%s is no control group", g.Dir))
		case !errors.Is(err, os.ErrNotExist):
			return nil, fieldError(field, err)
		case config.ClosID != "" && !g.configured():
			return nil, fieldError(field, fmt.Errorf("there is no group %s, and nothing says what a new one may use", g.Dir))
		}
		g.New = true
	}
	if config.EnableMonitoring {
		g.Monitor = filepath.Join(g.Dir, "mon_groups", id)
		if _, err := os.Lstat(filepath.Join(root, "mon_groups")); err != nil {
			return nil, fieldError("linux.intelRdt.enableMonitoring", fmt.Errorf("this host cannot monitor: %w", err))
		}
		_, err := os.Lstat(g.Monitor)
		if err == nil { // another runtime's, with a container of this id
			err = &os.PathError{Op: "mkdir", Path: g.Monitor, Err: unix.EEXIST}
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fieldError("linux.intelRdt.enableMonitoring", err)
		}
	}
	return g, nil
}

func fieldError(path string, err error) error { return &specconv.FieldError{Path: path, Err: err} }

// Owned reports whether the control group is to be removed with the container: the specification has it so for those that have its id for
// a name, and were made for it.
func (g *Group) Owned() bool { return g.New && g.config.ClosID == "" }

// configured reports whether the configuration says what a group may use.
func (g *Group) configured() bool {
	return g.config.L3CacheSchema != "" || g.config.MemBwSchema != "" || len(g.config.Schemata) > 0
}

// Make makes the groups that are not there yet and sets what they may use. changed is called, before anything is written, if another
// process has made the control group since Plan, which is New no longer then.
func (g *Group) Make(changed func() error) error {
	if g.New {
		err := os.Mkdir(g.Dir, 0o755)
		if errors.Is(err, unix.EEXIST) {
			g.New = false
			err = changed()
		}
		if err != nil {
			return fieldError("linux.intelRdt", refused(g.root, "make the group", g.Dir, err))
		}
		if g.New {
			g.made = append(g.made, g.Dir)
		}
	}
	if err := g.configure(); err != nil {
		return err
	}
	if g.Monitor == "" {
		return nil
	}
	if err := os.Mkdir(g.Monitor, 0o755); err != nil {
		if errors.Is(err, unix.EEXIST) {
			g.Monitor = ""
			err = errors.Join(err, changed())
		}
		return fieldError("linux.intelRdt.enableMonitoring", refused(g.root, "make the group", g.Dir+"/mon_groups", err))
	}
	g.made = append(g.made, g.Monitor)
	return nil
}

// Undo removes what Make has made, once the container's process has ended. A group that the configuration names, and that another container
// is in by now, stays.
func (g *Group) Undo() error {
	var errs []error
	for _, dir := range slices.Backward(g.made) {
		if dir == g.Dir && !g.Owned() {
			if tasks, err := os.ReadFile(dir + "/tasks"); err != nil || len(tasks) > 0 {
				continue
			}
		}
		errs = append(errs, Remove(dir))
	}
	return errors.Join(errs...)
}

// configure writes the schemata. Those of a group that the configuration names, and that was there before, are only compared with the two
// fields for which the specification demands it.
func (g *Group) configure() error {
	c := g.config
	lines := []string{c.L3CacheSchema, c.MemBwSchema}
	if c.ClosID != "" && !g.New {
		if err := errors.Join(g.compare("l3CacheSchema", c.L3CacheSchema), g.compare("memBwSchema", c.MemBwSchema)); err != nil {
			return err
		}
		lines = nil
	}
	if err := writeSchemata(g.root, g.Dir, append(lines, c.Schemata...)...); err != nil {
		return fieldError("linux.intelRdt", err)
	}
	return nil
}

// Join moves a process into the groups, with all its threads that there will be.
func (g *Group) Join(pid int) error {
	for _, dir := range g.Folders() {
		if err := write(g.root, dir+"/tasks", strconv.Itoa(pid)); err != nil {
			return fieldError("linux.intelRdt", err)
		}
	}
	return nil
}

// Folders returns the folders of the groups in the order in which a process has to join them: the kernel takes it out of a monitoring group
// when it joins a control group.
func (g *Group) Folders() []string {
	if g.Monitor == "" {
		return []string{g.Dir}
	}
	return []string{g.Dir, g.Monitor}
}

// Remove removes a group. Its processes go to the one above it. That it is missing is no error.
func Remove(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the resctrl group: %w", err)
	}
	return nil
}
