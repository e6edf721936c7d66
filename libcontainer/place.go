package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/cgroups"
	"github.com/orlop/orlop/libcontainer/idmap"
	"github.com/orlop/orlop/specconv"
)

// CgroupManager says who keeps the cgroups of new containers. What is done with a container later goes by what it was created with.
type CgroupManager string

const (
	// CgroupfsManager: the runtime makes the cgroup at linux.cgroupsPath. The empty CgroupManager means the same.
	CgroupfsManager CgroupManager = "cgroupfs"
	// SystemdManager: the cgroup is a unit of systemd's, the scope that linux.cgroupsPath names by "SLICE:PREFIX:NAME". Annotations
	// "org.systemd.property.NAME" set properties of it.
	SystemdManager CgroupManager = "systemd"
	// DisabledManager: there is no cgroup. The container stays in the caller's, and nothing of linux.resources is applied.
	DisabledManager CgroupManager = "disabled"
)

// ErrNoCgroup says that a container has no cgroup, which is needed: it was created by DisabledManager.
var ErrNoCgroup = errors.New("cgroup not exist: the container was created without one")

// ErrCgroupInUse says that the cgroup that a container is to have has processes, or belongs to another container.
var ErrCgroupInUse = cgroups.ErrOccupied

// place works out where the container's cgroup is to be. With dry nobody is asked.
func (c *creation) place(dry bool) (cgroups.Layout, error) {
	layout, err := cgroups.ReadLayout()
	if err != nil {
		return layout, err
	}
	var cgroupsPath string
	if c.bundle.Spec.Linux != nil {
		cgroupsPath = c.bundle.Spec.Linux.CgroupsPath
	}
	switch c.runtime.CgroupManager {
	case "", CgroupfsManager:
	case SystemdManager:
		if c.unit, err = newUnit(cgroupsPath, c.id, c.bundle.Spec.Annotations, dry); err != nil {
			return layout, err
		}
		c.unit.unified = layout.Mode == cgroups.Unified
		if cgroupsPath, err = c.unit.cgroup(dry); err != nil {
			return layout, err
		}
	case DisabledManager:
		c.cgroup = &cgroups.Manager{}
		return layout, c.checkBelow(layout)
	default:
		return layout, fmt.Errorf("cgroup manager %q: must be cgroupfs, systemd or disabled", c.runtime.CgroupManager)
	}
	if c.unit != nil {
		if c.top, err = cgroups.New(layout, cgroupsPath, c.id); err != nil {
			return layout, err
		}
	}
	if subgroup := c.bundle.Spec.Annotations[specconv.SystemdSubgroup]; subgroup != "" {
		cgroupsPath = path.Join(cgroupsPath, subgroup)
	}
	if c.cgroup, err = cgroups.New(layout, cgroupsPath, c.id); err != nil {
		return layout, err
	}
	c.doWithout()
	if err := c.checkBelow(layout); err != nil {
		return layout, err
	}
	c.cgroup.Delegate(c.bundle.Spec.Annotations[specconv.DelegateCgroup])
	// A new cgroup namespace shows what lies below the cgroups that the process is in when it is made.
	n, ok := c.bundle.Namespace(specs.CgroupNamespace)
	if !c.awaitsCgroup() && (!ok || n.Path != "") {
		c.joinMemory = c.cgroup.JoinMemoryLater()
	}
	if !dry && !c.awaitsCgroup() {
		c.found = c.cgroup.Find()
	}
	c.late = c.mayJoinLate()
	return layout, nil
}

// checkBelow looks whether the annotations can be had by which the container, or its processes, are in a cgroup below the usual one.
func (c *creation) checkBelow(layout cgroups.Layout) error {
	for _, name := range [...]string{specconv.SystemdSubgroup, specconv.DelegateCgroup} {
		problem := ""
		switch {
		case c.bundle.Spec.Annotations[name] == "":
			continue
		case name == specconv.SystemdSubgroup && c.unit == nil:
			problem = "needs a unit of systemd's (--systemd-cgroup)"
		case c.cgroup.None():
			problem = "the container has no cgroup"
		case layout.Mode != cgroups.Unified:
			problem = "needs a host whose controllers are all on cgroup2"
		case c.unit != nil && c.unit.IsSlice():
			problem = "needs a scope: linux.cgroupsPath names a slice, into which systemd puts no process"
		}
		if problem != "" {
			return specconv.Invalid(specconv.AnnotationPath(name), problem)
		}
		c.descends = c.unit != nil
	}
	return nil
}

// awaitsCgroup reports whether the process is put into its cgroup when it runs already: by systemd, where the runtime may not move it, and where it is to be
// below the unit's, for systemd would put it back from there.
func (c *creation) awaitsCgroup() bool { return c.unit != nil && (c.unit.moves() || c.descends) }

// doWithout leaves out what a caller without root's rights cannot have: the cgroup, or the rules for devices.
func (c *creation) doWithout() {
	if !c.runtime.rootless(c.rights) {
		return
	}
	if r := c.resources(); r != nil && len(r.Devices) > 0 {
		c.lacks = append(c.lacks, "linux.resources.devices: not applied: that takes the host's root")
	}
	if c.unit == nil && !c.cgroup.Creatable() {
		c.cgroup = &cgroups.Manager{}
		return
	}
	c.cgroup.LeaveDevices()
}

// cgroupPaths are the folders of the cgroups that the container's process is going to be in.
func (c *creation) cgroupPaths(layout cgroups.Layout) map[string]string {
	if c.cgroup.None() {
		return layout.OwnPaths()
	}
	return c.cgroup.HomePaths()
}

func (c *creation) resources() *specs.LinuxResources {
	if l := c.bundle.Spec.Linux; l != nil {
		return l.Resources
	}
	return nil
}

// makeCgroup makes the cgroup. Where systemd keeps it, the limits come later, see settle. It runs beside the planner, and touches nothing
// of the creation but the cgroup.
func (c *creation) makeCgroup() error {
	switch {
	case c.cgroup.None():
		return nil
	case c.unit == nil:
		return inUse(c.cgroup.Create(c.resources()))
	}
	if err := c.unit.connected(); err != nil {
		return err
	}
	if c.awaitsCgroup() {
		_, err := c.cgroup.Values(c.resources()) // what is wrong comes out before anything is made
		if err == nil && c.top.Exists() {
			err = c.unit.occupied()
		}
		return err
	}
	err := c.cgroup.Prepare(c.resources())
	if errors.Is(err, cgroups.ErrOccupied) {
		return fmt.Errorf("%w: %w", c.unit.occupied(), err)
	}
	return inUse(err)
}

// inUse names the field that is to be changed when the cgroup cannot be the container's.
func inUse(err error) error {
	if errors.Is(err, cgroups.ErrOccupied) || errors.Is(err, cgroups.ErrFrozen) {
		return &specconv.FieldError{Path: "linux.cgroupsPath", Err: err}
	}
	return err
}

// takeCgroup is what follows makeCgroup when the plan is there.
func (c *creation) takeCgroup() {
	switch {
	case c.cgroup.None():
		c.warnOfResources()
	case c.unit == nil:
		c.delegate()
	}
}

// enterUnit has systemd make the unit with the process, which waits for that, and puts it where it belongs below.
func (c *creation) enterUnit(pid int) error {
	if err := c.beginUnit(pid); err != nil {
		return err
	}
	if err := c.unit.started(); err != nil || !c.descends {
		return err
	}
	if err := c.inUnit(c.top); err != nil {
		return err
	}
	return inUse(c.cgroup.Descend(c.top, pid))
}

// inUnit looks whether systemd has put the process into a cgroup.
func (c *creation) inUnit(cgroup *cgroups.Manager) error {
	there, err := cgroup.Holds(c.process.Pid())
	if err == nil && !there {
		err = fmt.Errorf("systemd has put the process of %s elsewhere than into %s", c.unit.Name, cgroup.HomePaths())
	}
	return err
}

func (c *creation) beginUnit(pid int) error {
	values, err := c.cgroup.Values(c.resources())
	if err == nil {
		c.unit.begin(pid, "orlop container "+c.id, values)
	}
	return err
}

// settle completes a cgroup that systemd keeps, when the process is in it and before anything of the configuration runs.
func (c *creation) settle() error {
	if c.unit == nil || c.settled {
		return nil
	}
	c.settled = true
	if err := c.unit.started(); err != nil {
		return err
	}
	err := c.inUnit(c.cgroup)
	if err == nil {
		err = c.cgroup.Enter(c.process.Pid())
	}
	if err == nil {
		err = c.cgroup.Limit(c.resources())
	}
	c.delegate()
	return err
}

// delegate gives the cgroup to the container's user when that can do something with it: the container has a cgroup namespace of its own and its cgroup
// file system can be written to (config-linux.md, "Cgroup ownership").
func (c *creation) delegate() {
	if c.bundle.Spec.Annotations[specconv.DelegateCgroup] != "" {
		c.delegateHome()
		return
	}
	if n, ok := c.bundle.Namespace(specs.CgroupNamespace); !ok || n.Path != "" || !writableCgroups(c.bundle) {
		return
	}
	uid := 0
	if p := c.bundle.Spec.Process; p != nil {
		uid = int(p.User.UID)
	}
	if uid, ok := c.hostUser(uid); ok {
		c.giveCgroup(uid, "linux.cgroupsPath")
	}
}

// delegateHome gives the cgroup that was asked for by its name to the container's root.
func (c *creation) delegateHome() {
	uid, ok := c.hostUser(0)
	path := specconv.AnnotationPath(specconv.DelegateCgroup)
	if !ok {
		c.runtime.warn(path + ": stays the caller's: linux.uidMappings do not say who the container's root is")
		return
	}
	c.giveCgroup(uid, path)
}

// giveCgroup gives the cgroup to a user, for a field of the configuration.
func (c *creation) giveCgroup(uid int, field string) {
	if uid == unix.Geteuid() {
		return
	}
	if err := c.cgroup.Own(uid); err != nil {
		c.runtime.warn(field + ": " + err.Error())
	}
}

// writableCgroups reports whether the last mount on /sys/fs/cgroup is one of the cgroup file system, and not read-only.
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

// hostUser gives the user on the host that one of the container is.
func (c *creation) hostUser(uid int) (int, bool) {
	n, ok := c.bundle.Namespace(specs.UserNamespace)
	if !ok {
		return uid, true
	}
	if n.Path != "" && len(c.bundle.Spec.Linux.UIDMappings) == 0 {
		return 0, false
	}
	host, ok := idmap.Host(c.bundle.Spec.Linux.UIDMappings, uint32(uid))
	return int(host), ok
}

// warnOfResources says what is not applied since there is no cgroup.
func (c *creation) warnOfResources() {
	r := c.resources()
	if r == nil {
		return
	}
	var names []string
	for _, s := range [...]struct {
		name string
		set  bool
	}{
		{"devices", len(r.Devices) > 0 && c.lacks == nil}, {"memory", r.Memory != nil}, {"cpu", r.CPU != nil}, {"pids", r.Pids != nil},
		{"blockIO", r.BlockIO != nil}, {"hugepageLimits", len(r.HugepageLimits) > 0}, {"network", r.Network != nil},
		{"rdma", len(r.Rdma) > 0}, {"unified", len(r.Unified) > 0},
	} {
		if s.set {
			names = append(names, s.name)
		}
	}
	if names != nil {
		c.runtime.warn("linux.resources: " + strings.Join(names, ", ") + ": not applied, for the container has no cgroup")
	}
}

// noteCgroup records what of the cgroup was there before.
func (c *creation) noteCgroup() (err error) {
	if c.rec.FoundCgroups != nil {
		c.rec.CgroupBefore, err = json.Marshal(c.cgroup.Before())
	}
	return err
}

// removeCgroup undoes makeCgroup and what followed it. What is in a cgroup that was made or taken for the container is the container's.
func (c *creation) removeCgroup() error {
	defer c.cgroup.Before().Close()
	var stop func() error
	if c.unit != nil {
		var foreign bool
		if stop, foreign = c.unit.undo(); foreign {
			return c.cgroup.Undo()
		}
	}
	return errors.Join(removeCgroup(c.cgroup, stop), c.cgroup.Undo())
}

// removeCgroup kills what is left in a container's cgroup and removes it. stop is what stops the unit that it is, nil without one.
func removeCgroup(cgroup *cgroups.Manager, stop func() error) error {
	errs := []error{cgroup.Kill(unix.SIGKILL)}
	if stop != nil {
		errs = append(errs, stop())
	}
	return errors.Join(append(errs, cgroup.Delete())...)
}
