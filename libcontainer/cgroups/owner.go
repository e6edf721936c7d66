package cgroups

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Own makes a user the owner of the cgroup, or of the one below it that Delegate has named. The
// user may then make cgroups in it and move processes among them, but not change its limits. It
// changes the directory and the files that the kernel lists for that in /sys/kernel/cgroup/delegate
// (cgroup-v2.rst, "Delegation"; config-linux.md, "Cgroup ownership"). It does nothing on a host
// whose controllers are on v1, where a user who may make cgroups could do more.
func (m *Manager) Own(uid int) error {
	if !m.unifiedLeads {
		return nil
	}
	list, err := readFile("/sys/kernel/cgroup/delegate")
	if err != nil { // before kernel 4.15
		list = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n"
	}
	dir := m.home()
	files := []string{dir}
	for name := range strings.FieldsSeq(list) {
		if !strings.Contains(name, "/") {
			files = append(files, dir+"/"+name)
		}
	}
	for i, file := range files {
		if m.unified.found && m.delegated == "" {
			m.before.owner(file)
		}
		// A file of a controller that the cgroup lacks does not exist.
		if err := unix.Lchown(file, uid, -1); err != nil && (i == 0 || err != unix.ENOENT) {
			return fmt.Errorf("change the owner of %s to user %d: %w", file, uid, err)
		}
	}
	return nil
}
