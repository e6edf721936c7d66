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
	if m.unified.found && m.delegated == "" {
		m.before.owner(m.unified.dir)
		for name := range strings.FieldsSeq(list) {
			m.before.owner(m.unified.dir + "/" + name)
		}
	}
	if err := chown(dir, uid); err != nil {
		return err
	}
	for name := range strings.FieldsSeq(list) {
		if strings.ContainsRune(name, '/') {
			continue
		}
		// A file of a controller that the cgroup lacks does not exist.
		if err := chown(dir+"/"+name, uid); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

func chown(path string, uid int) error {
	err := unix.Lchown(path, uid, -1)
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("change the owner of %s to user %d: %w", path, uid, err)
	}
	return err
}
