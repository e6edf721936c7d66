package specconv

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// linux checks linux, section by section.
func (c *checker) linux(b *Bundle) {
	l := c.spec.Linux
	if l == nil {
		return
	}
	c.namespaces(b)
	c.devices(l.Devices)
	c.netDevices(b)
	c.cgroupsPath(l.CgroupsPath)
	c.resources(l.Resources)
	c.intelRdt(l.IntelRdt)
	c.memoryPolicy(l.MemoryPolicy)
	c.sysctl(l.Sysctl)
	c.seccomp(l.Seccomp)
	if l.RootfsPropagation != "" {
		if !c.has(specs.MountNamespace) {
			c.warn("linux.rootfsPropagation", "has no effect, since the container has no mount namespace of its own")
		}
		if _, ok := PropagationFlag(l.RootfsPropagation); !ok {
			c.fault("linux.rootfsPropagation", "unknown mode "+strconv.Quote(l.RootfsPropagation))
		}
	}
	c.hiddenPaths("linux.maskedPaths", l.MaskedPaths)
	c.hiddenPaths("linux.readonlyPaths", l.ReadonlyPaths)
	c.text("linux.mountLabel", l.MountLabel)
	c.personality(l.Personality)
}

// sortedKeys returns the sorted keys of an object: faults must have a fixed order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

// hiddenPaths checks maskedPaths or readonlyPaths. Without a mount namespace they would be masked
// for the host.
func (c *checker) hiddenPaths(path string, list []string) {
	if len(list) == 0 {
		return
	}
	c.needs(specs.MountNamespace, path)
	for i, p := range list {
		if problem := pathProblem(p); problem != "" {
			c.fault(jsonpath.Index(path, i), problem)
		}
	}
}

// cgroupsPath checks linux.cgroupsPath: it must not lead out of its place in the hierarchy.
func (c *checker) cgroupsPath(p string) {
	c.text("linux.cgroupsPath", p)
	if dotdot(p) {
		c.fault("linux.cgroupsPath", `must not contain ".."`)
	}
}

// devices checks linux.devices.
func (c *checker) devices(list []specs.LinuxDevice) {
	for i := range list {
		d := &list[i]
		here := jsonpath.Index("linux.devices", i)
		c.problem(here+".path", pathProblem(d.Path))
		c.problem(here+".type", oneOf(d.Type, "c", "b", "u", "p"))
		if d.Type != "p" {
			c.deviceNumbers(here, d.Major, d.Minor)
		}
		// File type bits are accepted: some callers pass the mode from stat(2).
		if d.FileMode != nil && *d.FileMode > 0o177777 {
			c.fault(here+".fileMode", "must be at most 65535, not "+strconv.FormatUint(uint64(*d.FileMode), 10))
		}
		if d.UID != nil {
			c.id(here+".uid", *d.UID)
		}
		if d.GID != nil {
			c.id(here+".gid", *d.GID)
		}
	}
}

// The kernel's dev_t has 12 bits for the major number and 20 for the minor one.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// deviceNumbers checks the numbers of a device.
func (c *checker) deviceNumbers(path string, major, minor int64) {
	c.deviceNumber(path+".major", major, 0, maxMajor)
	c.deviceNumber(path+".minor", minor, 0, maxMinor)
}

func (c *checker) deviceNumber(path string, n, low, high int64) {
	if n < low || n > high {
		c.fault(path, "must be from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10)+", not "+
			strconv.FormatInt(n, 10))
	}
}

// personality checks linux.personality.
func (c *checker) personality(p *specs.LinuxPersonality) {
	if p == nil {
		return
	}
	c.problem("linux.personality.domain", oneOf(p.Domain, specs.PerLinux, specs.PerLinux32))
	if len(p.Flags) > 0 {
		c.fault("linux.personality.flags", "no flags are supported")
	}
}
