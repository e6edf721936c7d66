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

// A Group is a container's group in the resctrl filesystem.
type Group struct {
	// Dir is the directory of the control group, and Monitor that of the monitoring group, ""
	// without one.
	Dir, Monitor string
	// New is set if the control group is made for the container, and removed with it. The
	// monitoring group always is.
	New bool

	root   string
	config *specs.LinuxIntelRdt
	made   []string // directories that Make has made
}

// Plan determines which groups a container belongs to, and which of them must be made, and changes
// nothing. The error names the field that is not supported: it is ErrNoResctrl without a resctrl
// filesystem.
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
			return nil, fieldError(field, fmt.Errorf("%s is not a control group", g.Dir))
		case !errors.Is(err, os.ErrNotExist):
			return nil, fieldError(field, err)
		case config.ClosID != "" && !g.configured():
			return nil, fieldError(field, fmt.Errorf("there is no group %s, and the configuration does not say what a new one may use", g.Dir))
		}
		g.New = true
	}
	if config.EnableMonitoring {
		g.Monitor = filepath.Join(g.Dir, "mon_groups", id)
		if _, err := os.Lstat(filepath.Join(root, "mon_groups")); err != nil {
			return nil, fieldError("linux.intelRdt.enableMonitoring", fmt.Errorf("this host cannot monitor: %w", err))
		}
		_, err := os.Lstat(g.Monitor)
		if err == nil { // another runtime's, for a container of this ID
			err = &os.PathError{Op: "mkdir", Path: g.Monitor, Err: unix.EEXIST}
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fieldError("linux.intelRdt.enableMonitoring", err)
		}
	}
	return g, nil
}

func fieldError(path string, err error) error { return &specconv.FieldError{Path: path, Err: err} }

// Owned reports whether the control group is removed with the container: the specification demands
// it for groups that are named after the container's ID and were made for it.
func (g *Group) Owned() bool { return g.New && g.config.ClosID == "" }

// configured reports whether the configuration sets what a group may use.
func (g *Group) configured() bool {
	return g.config.L3CacheSchema != "" || g.config.MemBwSchema != "" || len(g.config.Schemata) > 0
}

// Make makes the missing groups and sets what they may use. If another process has made the control
// group since Plan, it is no longer New, and Make calls changed before it writes anything.
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

// Undo removes what Make has made, after the container's process has exited. A group that the
// configuration names, and that another container is in by now, stays.
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

// configure writes the schemata. Those of an existing group that the configuration names are only
// compared, for the two fields for which the specification demands it.
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

// Join moves a process into the groups, with all its future threads.
func (g *Group) Join(pid int) error {
	for _, dir := range g.Directories() {
		if err := write(g.root, dir+"/tasks", strconv.Itoa(pid)); err != nil {
			return fieldError("linux.intelRdt", err)
		}
	}
	return nil
}

// Directories returns the directories of the groups in the order in which a process must join them:
// the kernel removes it from a monitoring group when it joins a control group.
func (g *Group) Directories() []string {
	if g.Monitor == "" {
		return []string{g.Dir}
	}
	return []string{g.Dir, g.Monitor}
}

// Remove removes a group. Its processes move to the one above it. A missing group is no error.
func Remove(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the resctrl group: %w", err)
	}
	return nil
}
