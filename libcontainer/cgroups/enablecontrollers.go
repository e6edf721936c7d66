package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// errNotDelegated: the controller exists, but some cgroup above does not enable it for its
// children.
var errNotDelegated = errors.New("not delegated to this cgroup (cgroup.subtree_control of a cgroup above it)")

// enableControllers enables the controllers that the settings need for the container's cgroup2
// directory, and where cgroup2 leads, all available ones, for accounting. A write to
// cgroup.subtree_control waits for an RCU grace period, so controllers that are already enabled are
// not written.
func (m *Manager) enableControllers(list []setting) error {
	var needed []string
	for i := range list {
		if c := m.unifiedController(&list[i]); c != "" && !slices.Contains(needed, c) {
			needed = append(needed, c)
		}
	}
	if len(needed) == 0 && !m.unifiedLeads {
		return nil
	}
	have, err := controllers(m.unified.dir, "cgroup.controllers")
	if err != nil {
		return err
	}
	wanted := needed
	if m.unifiedLeads {
		if wanted, err = controllers(m.foundAbove(), "cgroup.controllers"); err != nil {
			return err
		}
		wanted = append(wanted, needed...)
	}
	if !slices.ContainsFunc(wanted, func(c string) bool { return !slices.Contains(have, c) }) {
		return nil
	}
	e := enabling{refused: make(map[string]error)}
	if !m.unifiedLeads {
		e.wanted = needed // with most controllers on v1, cgroup2 only gets the needed ones
	}
	if err := e.enable(top(m.unified), path.Dir(m.unified.dir)); err != nil {
		return err
	}
	if have, err = controllers(m.unified.dir, "cgroup.controllers"); err != nil {
		return err
	}
	for i := range list {
		s := &list[i]
		c := m.unifiedController(s)
		if c == "" || slices.Contains(have, c) {
			continue
		}
		err := e.refused[c]
		if err == nil {
			err = errNotDelegated
			if all, _ := controllers(top(m.unified), "cgroup.controllers"); !slices.Contains(all, c) {
				err = errNoController
			}
		}
		return resourceError(s.field, ResourceError{Controller: c, Value: s.value, Err: err})
	}
	return nil
}

// foundAbove returns the closest cgroup2 directory above the container's that existed before. Those
// in between, which were made, have no controllers yet.
func (m *Manager) foundAbove() string {
	for _, dir := range m.made { // parents first
		if strings.HasPrefix(m.unified.dir+"/", dir+"/") {
			return path.Dir(dir)
		}
	}
	return path.Dir(m.unified.dir)
}

// unifiedController returns the controller that cgroup2 must have for a setting; "" means none.
func (m *Manager) unifiedController(s *setting) string {
	if s.unified && s.controller == coreFiles || m.v1(s.controller) != nil {
		return ""
	}
	return s.controller
}

// top returns the root of the cgroup2 tree that a directory is in: the mount point, if it is known.
func top(f directory) string {
	if f.mount != "" {
		return f.mount
	}
	dir := f.dir
	for above := path.Dir(dir); above != dir; dir, above = above, path.Dir(above) {
		if !exists(above + "/cgroup.controllers") {
			break
		}
	}
	return dir
}

// enabling is one attempt to enable controllers for a cgroup.
type enabling struct {
	wanted  []string         // nil: all available ones
	refused map[string]error // by controller: why a cgroup could not enable it
}

// enable enables the controllers for the children of dir, from top down. It leaves out those that
// cannot be enabled (cpu with real-time processes, a cgroup of another owner): the caller checks at
// the end whether they are needed.
func (e *enabling) enable(top, dir string) error {
	if strings.HasPrefix(dir, top+"/") {
		if err := e.enable(top, path.Dir(dir)); err != nil {
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
		if !slices.Contains(given, c) && (e.wanted == nil || slices.Contains(e.wanted, c)) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	refuse := func(controller string, err error) error {
		refusal := fmt.Errorf("write %q to %s/cgroup.subtree_control: %w", "+"+controller, dir, err)
		if why := subtreeHint(controller, err); why != "" {
			refusal = fmt.Errorf("%w (%s)", refusal, why)
		}
		e.refused[controller] = fmt.Errorf("%w: %w", errNotDelegated, refusal)
		return refusal
	}
	if occupied(dir) {
		for _, c := range missing {
			refuse(c[1:], unix.EBUSY)
		}
		return nil
	}
	file := dir + "/cgroup.subtree_control"
	if writeFile(file, strings.Join(missing, " ")) == nil {
		return nil
	}
	// The write is all or nothing.
	for _, c := range missing {
		err := writeFile(file, c)
		if err == nil {
			continue
		}
		if refusal := refuse(c[1:], err); err == unix.EROFS {
			return refusal
		}
	}
	return nil
}

// occupied reports whether a cgroup that is not the root has processes of its own. The kernel then
// only enables threaded controllers for its children, and that would be worse: the cgroup becomes
// the root of a threaded subtree, and no process can live in cgroups below it.
func occupied(dir string) bool {
	procs, err := readFile(dir + "/cgroup.procs")
	if err != nil || procs == "" {
		return false
	}
	kind, err := readFile(dir + "/cgroup.type") // the root has none
	return err == nil && strings.HasPrefix(kind, "domain\n")
}

func controllers(dir, file string) ([]string, error) {
	text, err := readFile(dir + "/" + file)
	if err != nil {
		return nil, fmt.Errorf("read %s/%s: %w", dir, file, err)
	}
	return strings.Fields(text), nil
}
