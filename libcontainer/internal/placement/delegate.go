package placement

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// delegate gives the cgroup to the container's user if the container can use it: it has a cgroup
// namespace of its own, and its cgroup filesystem is writable (config-linux.md, "Cgroup
// ownership").
func (c *cgroupCreation) delegate() {
	if c.Bundle.Spec.Annotations[specconv.DelegateCgroup] != "" {
		c.delegateNamed()
		return
	}
	if n, ok := c.Bundle.Namespace(specs.CgroupNamespace); !ok || n.Path != "" || !writableCgroups(c.Bundle) {
		return
	}
	uid := 0
	if p := c.Bundle.Spec.Process; p != nil {
		uid = int(p.User.UID)
	}
	if uid, ok := c.hostUser(uid); ok {
		c.give(uid, "linux.cgroupsPath")
	}
}

// delegateNamed gives the cgroup that an annotation names to the container's root.
func (c *cgroupCreation) delegateNamed() {
	uid, ok := c.hostUser(0)
	path := specconv.AnnotationPath(specconv.DelegateCgroup)
	if !ok {
		c.Warn(path + ": stays the caller's: linux.uidMappings do not say who the container's root is")
		return
	}
	c.give(uid, path)
}

// give gives the cgroup to a user, for a field of the configuration.
func (c *cgroupCreation) give(uid int, field string) {
	if uid == unix.Geteuid() {
		return
	}
	if err := c.cgroup.Own(uid); err != nil {
		c.Warn(field + ": " + err.Error())
	}
}

// hostUser returns the user on the host that a user of the container is.
func (c *cgroupCreation) hostUser(uid int) (int, bool) {
	n, ok := c.Bundle.Namespace(specs.UserNamespace)
	if !ok {
		return uid, true
	}
	mappings := c.linux().UIDMappings
	if n.Path != "" && len(mappings) == 0 {
		return 0, false
	}
	host, ok := specconv.HostID(mappings, uint32(uid))
	return int(host), ok
}

// writableCgroups reports whether the last mount on /sys/fs/cgroup is a writable cgroup filesystem.
func writableCgroups(b *specconv.Bundle) bool {
	writable := false
	for i := range b.Mounts {
		m := &b.Mounts[i]
		if path.Clean(m.Destination) != "/sys/fs/cgroup" || m.Remount {
			continue
		}
		readOnly := (m.AttrSet|m.RecAttrSet)&unix.MOUNT_ATTR_RDONLY != 0 || slices.Contains(m.SuperFlags, "ro")
		writable = strings.HasPrefix(m.Type, "cgroup") && !readOnly
	}
	return writable
}
