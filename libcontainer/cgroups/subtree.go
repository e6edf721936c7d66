package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// errNotDelegated: the controller is there, but some cgroup above keeps it for itself.
var errNotDelegated = errors.New("not delegated to this cgroup (cgroup.subtree_control of a cgroup above it)")

// delegate sees to it that the container's cgroup2 folder has the controllers that the settings need, and on a host that has
// cgroup2 only, all that there are, for accounting. Writing into cgroup.subtree_control waits for an RCU grace period,
// so nothing is written that is there already.
func (m *Manager) delegate(list []setting) error {
	var needed []string
	for i := range list {
		c := list[i].controller
		if m.v1(c) == nil && !slices.Contains(needed, c) {
			needed = append(needed, c)
		}
	}
	if len(needed) == 0 && !m.unifiedOnly {
		return nil
	}
	have, err := controllers(m.unified.dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	wanted := needed
	if m.unifiedOnly {
		if wanted, err = controllers(path.Dir(m.unified.dir), "cgroup.controllers"); err != nil {
			return err
		}
		wanted = append(wanted, needed...)
	}
	if contains(have, wanted) {
		return nil
	}
	if err := enable(m.unified.mount, path.Dir(m.unified.dir)); err != nil {
		return err
	}
	if have, err = controllers(m.unified.dir, "cgroup.controllers"); err != nil {
		return err
	}
	for i := range list {
		s := &list[i]
		if !slices.Contains(needed, s.controller) || slices.Contains(have, s.controller) {
			continue
		}
		err := errNotDelegated
		if top, _ := controllers(m.unified.mount, "cgroup.controllers"); !slices.Contains(top, s.controller) {
			err = errNoController
		}
		return &ResourceError{Field: s.field, Controller: s.controller, Value: s.value, Err: err}
	}
	return nil
}

// enable gives the children of dir the controllers that mount has, from the top down. One that cannot be given (cpu
// with real-time processes about, a cgroup of another owner) is left out: whether it is needed, the caller looks at the end.
func enable(mount, dir string) error {
	if mount != "" && strings.HasPrefix(dir, mount+"/") {
		if err := enable(mount, path.Dir(dir)); err != nil {
			return err
		}
	}
	have, err := controllers(dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	given, err := controllers(dir, "cgroup.subtree_control")
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range have {
		if !slices.Contains(given, c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	file := dir + "/cgroup.subtree_control"
	if writeFile(file, strings.Join(missing, " ")) == nil {
		return nil
	}
	// The write is all or nothing.
	for _, c := range missing {
		if err := writeFile(file, c); err == unix.EROFS {
			return fmt.Errorf("write %q to %s: %w", c, file, err)
		}
	}
	return nil
}

func controllers(dir, file string) ([]string, error) {
	text, err := readFile(dir + "/" + file)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s: %w", dir, file, err)
	}
	return strings.Fields(text), nil
}

func contains(have, wanted []string) bool {
	for _, c := range wanted {
		if !slices.Contains(have, c) {
			return false
		}
	}
	return true
}
