package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/specconv/jsonpath"
)

var (
	errFileName = errors.New("not the name of a cgroup's file")
	errNotLimit = errors.New("this file sets no limit: it moves, stops or kills processes, which is up to the runtime")
)

// unified: linux.resources.unified, files of the cgroup2 directory and their values, whether this
// package knows them or not. A value of several lines is written line by line, since most files
// accept one at a time.
func (s *settingList) unified(r map[string]string, at func(controller string) version) {
	for _, file := range slices.Sorted(maps.Keys(r)) {
		field := jsonpath.Member("linux.resources.unified", file)
		controller, err := unifiedController(file)
		if err == nil && controller != coreFiles && onV1(controller, at) {
			err = fmt.Errorf("cgroup2 has no controller %s here, since a cgroup v1 hierarchy has it: %w", controller, errNoController)
		}
		if err != nil {
			s.fault(controller, field, r[file], err)
			continue
		}
		add := func(line string) {
			s.list = append(s.list, setting{controller: controller, file: file, value: line, field: field, again: true, unified: true})
		}
		wrote := false
		for line := range strings.Lines(r[file]) {
			if line = strings.TrimSuffix(line, "\n"); line != "" {
				add(line)
				wrote = true
			}
		}
		if !wrote {
			add("\n") // empties a file such as cpuset.cpus; an empty write would do nothing
		}
	}
}

// coreFiles is the controller of a cgroup2 file that belongs to none.
const coreFiles = "cgroup"

// onV1 reports whether a v1 hierarchy has the controller with this cgroup2 name.
func onV1(controller string, at func(controller string) version) bool {
	return at(controller) == v1 || controller == "io" && at("blkio") == v1
}

// unifiedController returns the controller that a file of a cgroup2 directory belongs to. The name
// must be that of a file in the directory itself, and of one that only sets a limit.
func unifiedController(file string) (string, error) {
	if file == "" || file == "." || file == ".." || strings.ContainsAny(file, "/\x00") {
		return coreFiles, errFileName
	}
	switch file {
	case "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze":
		return coreFiles, errNotLimit
	}
	controller, name, ok := strings.Cut(file, ".")
	if !ok || controller == "" {
		return coreFiles, errFileName
	}
	if controller == coreFiles || name == "pressure" {
		return coreFiles, nil
	}
	return controller, nil
}
