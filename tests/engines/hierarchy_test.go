package engines

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// hierarchy is one of cgroups.
type hierarchy struct {
	controllers string   // as in /proc/self/cgroup: "cpu,cpuacct", "name=systemd", "" for version 2
	from        string   // this process's own cgroup
	root        *os.File // its mount, which is nobody's else if it is mounted nowhere
	own         *os.File // the ground's cgroup; locked like the folder
}

// path is where a file of the hierarchy is, also if that is not mounted.
func (h *hierarchy) path(elements ...string) string {
	return filepath.Join(append([]string{"/proc/self/fd", strconv.Itoa(int(h.root.Fd()))}, elements...)...)
}

// prepare gives the ground's cgroup what it needs to have processes with limits.
func (h *hierarchy) prepare(name string) error {
	if slices.Contains(strings.Split(h.controllers, ","), "cpuset") {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(h.path(file))
			if err == nil {
				err = os.WriteFile(h.path(name, file), value, 0)
			}
			if err != nil {
				return err
			}
		}
	}
	if h.controllers != "" {
		return nil
	}
	available, err := os.ReadFile(h.path("cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(available)) {
		// Those that can't be had for the whole tree (cpu with real-time processes) are not needed.
		os.WriteFile(h.path("cgroup.subtree_control"), []byte("+"+controller), 0)
	}
	return nil
}

// hierarchies opens all that this process is in.
func hierarchies() ([]*hierarchy, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var found []*hierarchy
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		h := &hierarchy{controllers: fields[1], from: fields[2]}
		if h.root, err = openHierarchy(h.controllers); err != nil {
			return nil, fmt.Errorf("open the cgroup hierarchy %q: %w", line, err)
		}
		found = append(found, h)
	}
	return found, nil
}

// openHierarchy opens the root of a hierarchy. One that is mounted nowhere is mounted for this process alone, and for as long as the file
// is open: that also ends one that is only still there because it was in use when it was unmounted.
func openHierarchy(controllers string) (*os.File, error) {
	if path := harness.CgroupMount(controllers); path != "" {
		return os.Open(path)
	}
	kind, options := hierarchyMount(controllers)
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	for option := range strings.SplitSeq(options, ",") {
		if key, value, ok := strings.Cut(option, "="); ok {
			err = unix.FsconfigSetString(context, key, value)
		} else if option != "" {
			err = unix.FsconfigSetFlag(context, option)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), controllers), nil
}

// hierarchyMount returns the file system and the options with which a hierarchy is mounted.
func hierarchyMount(controllers string) (kind, options string) {
	switch {
	case controllers == "":
		return "cgroup2", ""
	case strings.HasPrefix(controllers, "name="):
		return "cgroup", "none," + controllers
	}
	return "cgroup", controllers
}

// clear kills the processes of a ground's cgroups and those below them, removes all, and describes the processes, and what can't be
// removed. It goes round: a process may be frozen in one hierarchy until that's turn comes, and it keeps its cgroups in all.
func clear(name string, all []*hierarchy) []string {
	var left []string
	for deadline := time.Now().Add(limit()); ; time.Sleep(10 * time.Millisecond) { // no event tells that a killed process has left
		var stays []string
		for _, h := range all {
			for _, path := range foldersBelow(h.path(name)) {
				left = append(left, kill(path)...)
				os.Remove(path)
			}
			if exists(h.path(name)) {
				stays = append(stays, fmt.Sprintf("cgroup %s of %q", name, h.controllers))
			}
		}
		if len(stays) == 0 || time.Now().After(deadline) {
			return append(left, stays...)
		}
	}
}

// foldersBelow lists the folders below one and that itself, in the order in which they can be removed.
func foldersBelow(dir string) (found []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			found = append(found, path)
		}
		return nil // it goes on where something has just gone
	})
	slices.Reverse(found)
	return found
}

// kill kills the processes of one cgroup, and describes them.
func kill(cgroup string) []string {
	var killed []string
	data, _ := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	for pid := range strings.FieldsSeq(string(data)) {
		number, err := strconv.Atoi(pid)
		if err != nil || number <= 1 {
			continue
		}
		// It has no command line while it ends: that is no news.
		if line, _ := os.ReadFile("/proc/" + pid + "/cmdline"); len(line) > 0 {
			killed = append(killed, "process "+pid+" "+strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " ")))
		}
		unix.Kill(number, unix.SIGKILL)
	}
	os.WriteFile(filepath.Join(cgroup, "freezer.state"), []byte("THAWED"), 0)
	os.WriteFile(filepath.Join(cgroup, "cgroup.freeze"), []byte("0"), 0)
	return killed
}

// release closes the hierarchy. One that was mounted for this process alone must have no cgroup, not even one that is removed and still
// in use, or it stays for good.
func (h *hierarchy) release() {
	defer h.root.Close()
	if harness.CgroupMount(h.controllers) != "" {
		return
	}
	first, _, _ := strings.Cut(h.controllers, ",")
	for range 200 {
		data, err := os.ReadFile("/proc/cgroups")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) == 4 && fields[0] == first && fields[2] == "1" {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
