package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupFolder = "/sys/fs/cgroup"
	hostTree     = "/run/cgroup-host"  // hierarchies as the host has them, seen by the outer process
	innerTree    = "/run/cgroup-inner" // where the inner process builds what it then moves to cgroupFolder

	// Where the suite looks for the cpu controller's defaults: the name that systemd gave to the
	// two hierarchies when mounted as one.
	cpuAlias = "cpu,cpuacct"

	// How long the kernel may take to release cgroups, and how often to check: there is no event.
	patience = 30 * time.Second
	pause    = 10 * time.Millisecond
)

// tree is a set of hierarchies, mounted below a directory.
type tree struct {
	dir         string
	hierarchies []hierarchy
	freed       freed
}

func (t tree) path(h hierarchy, elements ...string) string {
	return filepath.Join(append([]string{t.dir, h.name}, elements...)...)
}

// mountTree mounts the host's hierarchies, and those that the program needs, below a new directory.
// The caller must unmount the returned tree even after an error.
func mountTree(dir string, n needs) (t tree, err error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return t, err
	}
	controllers, err := os.ReadFile("/proc/cgroups")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return t, err
	}
	list := addExtra(parseHierarchies(string(mountinfo)), n.Controllers, string(controllers))
	if n.V1 && (len(list) == 0 || list[0].name == "") {
		return t, &cannotError{"this host has no hierarchy of cgroup v1, and the suite does not know cgroup2"}
	}
	t.dir = dir
	if t.freed, err = freeControllers(string(mountinfo), n.Controllers); err != nil {
		return t, err
	}
	return t, t.mount(list)
}

// freed are controllers that were disabled in cgroup.subtree_control of cgroup2's root, where no
// cgroup used them.
type freed struct {
	file        string // cgroup.subtree_control
	controllers []string
}

func freeControllers(mountinfo string, controllers []string) (f freed, err error) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); len(fields) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			f.file = filepath.Join(fields[4], "cgroup.subtree_control")
		}
	}
	enabled, err := os.ReadFile(f.file)
	if f.file == "" || errors.Is(err, os.ErrNotExist) {
		return freed{}, nil
	}
	for _, name := range controllers {
		if err == nil && slices.Contains(strings.Fields(string(enabled)), name) {
			err = os.WriteFile(f.file, []byte("-"+name), 0)
			f.controllers = append(f.controllers, name)
		}
	}
	if errors.Is(err, syscall.EBUSY) {
		err = &cannotError{"cgroup2 has " + strings.Join(controllers, ", ") + " in use"}
	}
	return f, err
}

func (f freed) restore() (err error) {
	for _, name := range f.controllers {
		err = errors.Join(err, retry(func() error { return os.WriteFile(f.file, []byte("+"+name), 0) }, syscall.ENOENT))
	}
	return err
}

// mount mounts hierarchies, and adds those to the tree that it has mounted.
func (t *tree) mount(list []hierarchy) error {
	if err := os.Mkdir(t.dir, 0o755); err != nil {
		return err
	}
	if len(list) == 0 || list[0].name != "" {
		if err := syscall.Mount("tmpfs", t.dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount tmpfs: %w", err)
		}
	}
	for _, h := range list {
		if err := os.MkdirAll(t.path(h), 0o755); err != nil {
			return err
		}
		// A hierarchy that is just going away makes the kernel answer EBUSY.
		err := retry(func() error { return syscall.Mount("cgroup", t.path(h), h.kind(), 0, h.options) }, syscall.EBUSY)
		if h.extra && errors.Is(err, syscall.EBUSY) {
			return &cannotError{"the controller " + h.name + " is in use, and can't be mounted as a hierarchy of v1"}
		}
		if err != nil {
			return fmt.Errorf("mount cgroup %q: %w", h.options, err)
		}
		t.hierarchies = append(t.hierarchies, h)
	}
	return nil
}

// unmount unmounts a tree in which nothing runs. With its last mount an extra hierarchy ends and
// its controllers return to cgroup2, unless the kernel has not released all of its cgroups yet: the
// hierarchy would then stay until the next mount.
func (t tree) unmount() error {
	var errs []error
	for _, h := range t.hierarchies {
		for deadline := time.Now().Add(patience); h.extra && h.groups() > h.before && time.Now().Before(deadline); {
			time.Sleep(pause)
		}
		if err := syscall.Unmount(t.path(h), 0); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", t.path(h), err))
		}
	}
	return errors.Join(append(errs, t.freed.restore())...)
}

// makeGroups makes the cgroup that the program takes for the root of each hierarchy.
func (t tree) makeGroups(name string, realtime bool) error {
	for _, h := range t.hierarchies {
		if err := os.Mkdir(t.path(h, name), 0o755); err != nil {
			return err
		}
		if err := t.inherit(h, name, realtime); err != nil {
			return fmt.Errorf("prepare cgroup %s: %w", t.path(h, name), err)
		}
	}
	return nil
}

// inherit gives a new cgroup what a root has by default: processors, memory nodes, and all time for
// real-time processes.
func (t tree) inherit(h hierarchy, name string, realtime bool) error {
	hand := func(file string) error {
		value, err := os.ReadFile(t.path(h, file))
		if errors.Is(err, os.ErrNotExist) {
			return nil // of another controller, or of none
		}
		if err != nil {
			return err
		}
		return os.WriteFile(t.path(h, name, file), value, 0)
	}
	err := errors.Join(hand("cpuset.cpus"), hand("cpuset.mems"))
	if !realtime || err != nil {
		return err
	}
	// A sibling with real-time limits leaves too little, and so does a removed one for a while. The
	// program then runs without: see alias.
	err = retry(func() error { return errors.Join(hand("cpu.rt_period_us"), hand("cpu.rt_runtime_us")) }, syscall.EINVAL)
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// removeGroups removes the program's cgroups and all below them. They have no processes, but the
// kernel may release them late.
func (t tree) removeGroups(name string) error {
	var errs []error
	for _, h := range t.hierarchies {
		if err := retry(func() error { return removeGroup(t.path(h, name)) }, syscall.EBUSY); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && err != syscall.ENOENT {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// retry repeats a call for a while as long as it fails with one of these errors.
func retry(f func() error, passing ...error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		passes := slices.ContainsFunc(passing, func(p error) bool { return errors.Is(err, p) })
		if !passes || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// enterGroups moves this process into its cgroups and the calling thread into a cgroup namespace of
// which they are the root, and mounts the hierarchies as seen from there where a host has them.
func enterGroups(name string, realtime bool) error {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	host := tree{dir: hostTree}
	for _, h := range parseHierarchies(below(string(mountinfo), hostTree)) {
		host.hierarchies = append(host.hierarchies, h)
		if err := os.WriteFile(host.path(h, name, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare cgroup namespace: %w", err)
	}
	inner := tree{dir: innerTree}
	if err := inner.mount(host.hierarchies); err != nil {
		return err
	}
	if err := inner.alias(realtime); err != nil {
		return err
	}
	if err := leaveRoot(inner); err != nil {
		return err
	}
	if err := syscall.Unmount(cgroupFolder, syscall.MNT_DETACH); err != nil && err != syscall.EINVAL {
		return fmt.Errorf("unmount %s: %w", cgroupFolder, err)
	}
	if err := syscall.Mount(innerTree, cgroupFolder, "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move cgroups to %s: %w", cgroupFolder, err)
	}
	if err := syscall.Unmount(hostTree, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", hostTree, err)
	}
	return nil
}

// alias gives hierarchies of several controllers the name of each, as systemd does. Where the suite
// finds cpuAlias, it also sets real-time limits, and the program needs some.
func (t tree) alias(realtime bool) error {
	for _, h := range t.hierarchies {
		names := strings.Split(h.name, ",")
		runtime, err := os.ReadFile(t.path(h, "cpu.rt_runtime_us"))
		if h.name == "cpu" && realtime && (err != nil || strings.TrimSpace(string(runtime)) != "0") {
			names = []string{cpuAlias}
		}
		for _, name := range names {
			if name == h.name {
				continue
			}
			if err := os.Symlink(h.name, filepath.Join(t.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaveRoot moves this process out of the namespace's root on cgroup2, where a cgroup with
// processes has no controllers for others.
func leaveRoot(t tree) error {
	if len(t.hierarchies) != 1 || t.hierarchies[0].name != "" {
		return nil
	}
	dir := t.path(t.hierarchies[0], "harness")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}
