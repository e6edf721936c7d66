package libcontainer

import (
	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/internal/placement"
)

// CgroupManager says who makes the cgroups of new containers. What is done with a container later goes by what it was created with.
type CgroupManager string

const (
	// CgroupfsManager: the runtime makes the cgroup at linux.cgroupsPath. The empty CgroupManager means the same.
	CgroupfsManager CgroupManager = "cgroupfs"
	// SystemdManager: the cgroup is a unit of systemd, the scope that linux.cgroupsPath names by "SLICE:PREFIX:NAME". Annotations
	// "org.systemd.property.NAME" set properties of it.
	SystemdManager CgroupManager = "systemd"
	// DisabledManager: there is no cgroup. The container stays in the caller's, and nothing of linux.resources is applied.
	DisabledManager CgroupManager = "disabled"
)

// ErrNoCgroup says that a container has no cgroup, which is needed: it was created by DisabledManager.
var ErrNoCgroup = placement.ErrNoCgroup

// ErrCgroupInUse says that the cgroup that a container is to have has processes, or belongs to another container.
var ErrCgroupInUse = cgroups.ErrOccupied
