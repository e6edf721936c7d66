package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is one cgroup hierarchy: of v1, or the one of v2.
type hierarchy struct {
	name    string // directory below cgroupFolder; "" is cgroupFolder itself, which is v2
	options string // what mounts it
	extra   bool   // the host has not mounted it: it ends with our use of it
	before  int    // how many cgroups an extra one had before
}

// groups tells how many cgroups an extra hierarchy has now, those that were removed included as
// long as the kernel has them.
func (h hierarchy) groups() int {
	controllers, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return 0
	}
	return findController(string(controllers), h.name).groups
}

func (h hierarchy) kind() string {
	if h.name == "" {
		return "cgroup2"
	}
	return "cgroup"
}

// parseHierarchies reads the hierarchies from a mountinfo file: those of v1, or the one of v2 when
// it is the only one. Beside v1 hierarchies the suite does not know cgroup2, and looks for each
// controller's directory by name.
func parseHierarchies(mountinfo string) (list []hierarchy) {
	unified := false
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			unified = true
		case "cgroup":
			h := hierarchy{name: filepath.Base(fields[4]), options: v1Options(kind[2])}
			if !slices.ContainsFunc(list, func(other hierarchy) bool { return other.options == h.options }) {
				list = append(list, h)
			}
		}
	}
	if len(list) == 0 && unified {
		list = []hierarchy{{}}
	}
	return list
}

// v1Options takes from a superblock's options those that choose the hierarchy.
func v1Options(super string) string {
	var chosen []string
	named := false
	for option := range strings.SplitSeq(super, ",") {
		switch {
		case option == "rw", option == "ro", option == "xattr", option == "seclabel", strings.HasPrefix(option, "release_agent="):
		default:
			chosen = append(chosen, option)
			named = named || strings.HasPrefix(option, "name=")
		}
	}
	if named { // such a hierarchy has no controllers
		chosen = append([]string{"none"}, chosen...)
	}
	return strings.Join(chosen, ",")
}

// controller is a line of /proc/cgroups.
type controller struct {
	hierarchy int // 0 is cgroup2
	groups    int // in that hierarchy
	enabled   bool
}

// before tells how many cgroups a hierarchy of v1 has, or will have, when we have none in it.
func (c controller) before() int {
	if c.hierarchy == 0 {
		return 1
	}
	return c.groups
}

// findController reads /proc/cgroups; the zero value is for a controller that the kernel does not
// have.
func findController(procCgroups, name string) (c controller) {
	for line := range strings.Lines(procCgroups) {
		// name, hierarchy, number of cgroups, enabled
		if f := strings.Fields(line); len(f) == 4 && f[0] == name {
			c.hierarchy, _ = strconv.Atoi(f[1])
			c.groups, _ = strconv.Atoi(f[2])
			c.enabled = f[3] == "1"
		}
	}
	return c
}

// addExtra adds the extra controllers that the host has not mounted to those hierarchies that it
// has, if there are any of v1.
func addExtra(list []hierarchy, extra []string, procCgroups string) []hierarchy {
	if len(list) == 0 || list[0].name == "" {
		return list
	}
	for _, name := range extra {
		c := findController(procCgroups, name)
		mounted := slices.ContainsFunc(list, func(h hierarchy) bool { return slices.Contains(strings.Split(h.options, ","), name) })
		if !mounted && c.enabled {
			list = append(list, hierarchy{name: name, options: name, extra: true, before: c.before()})
		}
	}
	return list
}

// below takes the lines of a mountinfo file whose mount points are in a directory.
func below(mountinfo, dir string) string {
	var b strings.Builder
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			b.WriteString(line)
		}
	}
	return b.String()
}
