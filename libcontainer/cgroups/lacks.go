package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// Lacks returns why Create would fail here, as far as that is visible without making anything: a
// controller that is missing or not delegated, a control file or a device that the kernel does not
// have, a directory that the caller may not make. Errors about a setting wrap a *[ResourceError].
func (m *Manager) Lacks(r *specs.LinuxResources) []error {
	var all []error
	for _, f := range m.all() {
		if err := f.lacks(); err != nil {
			all = append(all, &specconv.FieldError{Path: "linux.cgroupsPath", Err: err})
		}
	}
	if frozen, err := m.Frozen(); err == nil && frozen && m.Exists() {
		all = append(all, &specconv.FieldError{Path: "linux.cgroupsPath", Err: fmt.Errorf("the cgroup exists and is frozen: %w", ErrFrozen)})
	}
	if m.Find() {
		if err := m.checkEmpty(); err != nil {
			all = append(all, &specconv.FieldError{Path: "linux.cgroupsPath", Err: err})
		}
	}
	list, err := settings(r, m.version, false)
	all = append(all, flatten(err)...)
	for i := range list {
		if err := m.settingLacks(&list[i]); err != nil {
			all = append(all, list[i].refused(err))
		}
	}
	if m.devicesLeft {
		return all
	}
	return append(all, flatten(m.deviceLimits(&limits{}, r))...)
}

// LacksRealTime returns why the kernel would refuse a real-time policy to a process in the cgroup,
// nil when it would not. With real-time group scheduling, which only v1 has, a new cgroup has no
// real-time runtime unless it is given some (sched-rt-group.rst).
func (m *Manager) LacksRealTime(r *specs.LinuxResources) error {
	const file = "/cpu.rt_runtime_us"
	f := m.v1("cpu")
	if f == nil || !exists(f.mount+file) {
		return nil
	}
	if r != nil && r.CPU != nil && isSet(r.CPU.RealtimeRuntime) {
		return nil
	}
	if n, ok := readNumber(f.dir + file); ok && n > 0 {
		return nil
	}
	return errors.New("the kernel has real-time group scheduling, and the container's cgroup no linux.resources.cpu.realtimeRuntime")
}

// flatten returns the errors that errors.Join has combined.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// existing returns dir, or its closest parent that exists.
func existing(dir string) string {
	for dir != "/" && !exists(dir) {
		dir = path.Dir(dir)
	}
	return dir
}

// lacks checks whether the directory can be made, or used where it exists.
func (f *directory) lacks() error {
	dir := existing(f.dir)
	if dir == f.dir {
		file := f.dir + "/tasks"
		if f.keys == nil {
			file = f.dir + "/cgroup.procs"
		}
		return accessible(file, unix.W_OK)
	}
	return accessible(dir, unix.W_OK|unix.X_OK)
}

func accessible(file string, mode uint32) error {
	if err := unix.Faccessat2(unix.AT_FDCWD, file, mode, unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "write to", Path: file, Err: err}
	}
	return nil
}

// settingLacks checks whether a setting could be written once its directory exists.
func (m *Manager) settingLacks(s *setting) error {
	f := m.directoryOf(s)
	if f == nil {
		return errNoController
	}
	if c := m.unifiedController(s); c != "" {
		if err := m.undelegated(c); err != nil {
			return err
		}
	}
	if err := f.fileLacks(s); err != nil {
		return err
	}
	return deviceLacks(s)
}

// undelegated checks whether cgroup2 delegates, or would delegate, a controller to the container's
// cgroup.
func (m *Manager) undelegated(controller string) error {
	root := top(m.unified)
	all, err := controllers(root, "cgroup.controllers")
	if err != nil {
		return err
	}
	if !slices.Contains(all, controller) {
		return errNoController
	}
	for dir := existing(path.Dir(m.unified.dir)); ; dir = path.Dir(dir) {
		given, err := controllers(dir, "cgroup.subtree_control")
		if err != nil {
			return err
		}
		if !slices.Contains(given, controller) {
			if err := accessible(dir+"/cgroup.subtree_control", unix.W_OK); err != nil {
				return fmt.Errorf("%w: %w", errNotDelegated, err)
			}
			if text, err := readFile(dir + "/cgroup.procs"); dir != root && err == nil && text != "" {
				return fmt.Errorf("%w: %s has processes of its own (%s)", errNotDelegated, dir, subtreeHint(controller, unix.EBUSY))
			}
		}
		if dir == root || dir == "/" {
			return nil
		}
	}
}

// fileLacks looks for a control file in a cgroup of the hierarchy. The root lacks many, so it looks
// in any cgroup below the root; without one it cannot tell.
func (f *directory) fileLacks(s *setting) error {
	if s.optional {
		return nil
	}
	dir := existing(f.dir)
	if dir == f.mount {
		if dir = anyBelow(dir); dir == "" {
			return nil
		}
	}
	for _, file := range []string{s.file, s.otherFile} {
		if file != "" && (exists(dir+"/"+file) || exists(f.mount+"/"+file)) {
			return nil
		}
	}
	if f.keys == nil && s.controller != coreFiles {
		given, err := controllers(dir, "cgroup.controllers")
		if err != nil || !slices.Contains(given, s.controller) {
			return nil // the directory does not show what a new one would have
		}
	}
	return withHint(dir, s.file, unix.ENOENT)
}

// anyBelow returns a child of dir.
func anyBelow(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if e.IsDir() {
			return path.Join(dir, e.Name())
		}
	}
	return ""
}

// deviceLacks looks for the disk, or the network interface, that a value begins with.
func deviceLacks(s *setting) error {
	name, rest, ok := strings.Cut(s.value, " ")
	if !ok {
		return nil
	}
	switch {
	case s.controller == "net_prio":
		if !exists("/sys/class/net/" + name) {
			return fmt.Errorf("there is no network interface %s: %w", name, unix.ENODEV)
		}
	case s.controller == "blkio" || s.controller == "io":
		if _, _, err := parseDevice(name); err == nil && rest != "" && !exists("/sys/dev/block/"+name) {
			return fmt.Errorf("there is no disk %s: %w", name, unix.ENODEV)
		}
	}
	return nil
}
