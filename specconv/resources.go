package specconv

import (
	"math"
	"strconv"
	"strings"
	"unicode"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/codec"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// ParseResources parses and validates the resources of update --resources, an object like
// linux.resources of config.json. The paths of its faults start with "linux.resources"; the error
// is like Parse's. warnings name unknown members.
func ParseResources(data []byte) (r *specs.LinuxResources, warnings []string, err error) {
	return parsePart(data, "linux.resources", codec.DecodeLinuxResources, (*checker).resources)
}

// ValidateResources checks resources for the update of a container like linux.resources of
// config.json. The error is Faults.
func ValidateResources(r *specs.LinuxResources) error { return validate(r, (*checker).resources) }

// resources checks linux.resources as far as possible without the host.
func (c *checker) resources(r *specs.LinuxResources) {
	if r == nil {
		return
	}
	for i := range r.Devices {
		c.deviceRule(i, &r.Devices[i])
	}
	c.memory(r.Memory)
	c.cpu(r.CPU)
	if r.Pids != nil {
		c.limit("linux.resources.pids.limit", r.Pids.Limit)
	}
	c.blockIO(r.BlockIO)
	for i := range r.HugepageLimits {
		c.pageSize(i, r.HugepageLimits[i].Pagesize)
	}
	if r.Network != nil {
		for i, p := range r.Network.Priorities {
			if !validInterface(p.Name) {
				c.fault(jsonpath.Index("linux.resources.network.priorities", i)+".name",
					strconv.Quote(p.Name)+" is not a name of a network device")
			}
		}
	}
	for _, name := range sortedKeys(r.Rdma) {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			c.fault(jsonpath.Member("linux.resources.rdma", name), "is not a name of an RDMA device")
		}
		if d := r.Rdma[name]; d.HcaHandles == nil && d.HcaObjects == nil {
			c.fault(jsonpath.Member("linux.resources.rdma", name), "needs hcaHandles or hcaObjects")
		}
	}
	for _, name := range sortedKeys(r.Unified) {
		// The key names a file in the cgroup directory.
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			c.fault(jsonpath.Member("linux.resources.unified", name), "is not a name of a cgroup's file")
		}
	}
}

// deviceRule checks one entry of linux.resources.devices; -1 stands for all numbers.
func (c *checker) deviceRule(i int, d *specs.LinuxDeviceCgroup) {
	here := "linux.resources.devices"
	if d.Type != "" {
		if problem := oneOf(d.Type, "a", "c", "b"); problem != "" {
			c.fault(jsonpath.Index(here, i)+".type", problem)
		}
	}
	if d.Major != nil {
		c.deviceNumber(jsonpath.Index(here, i)+".major", *d.Major, -1, 1<<32-1)
	}
	if d.Minor != nil {
		c.deviceNumber(jsonpath.Index(here, i)+".minor", *d.Minor, -1, 1<<32-1)
	}
	if strings.Trim(d.Access, "rwm") != "" {
		c.fault(jsonpath.Index(here, i)+".access", "must be made of r, w and m, not "+strconv.Quote(d.Access))
	}
}

// limit checks a value for which -1 means unlimited.
func (c *checker) limit(path string, n *int64) {
	if n != nil && *n < -1 {
		c.fault(path, "must be -1 (unlimited) or more, not "+strconv.FormatInt(*n, 10))
	}
}

func (c *checker) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	const path = "linux.resources.memory"
	c.limit(path+".limit", m.Limit)
	c.limit(path+".reservation", m.Reservation)
	c.limit(path+".swap", m.Swap)
	//nolint:staticcheck // deprecated, yet read by cgroup v1 kernels
	c.limit(path+".kernel", m.Kernel)
	c.limit(path+".kernelTCP", m.KernelTCP)
	if m.Limit != nil && m.Swap != nil && *m.Limit > 0 && *m.Swap > 0 && *m.Swap < *m.Limit {
		c.fault(path+".swap", "is the limit of memory and swap together: must not be less than memory.limit")
	}
	if m.Swappiness != nil && *m.Swappiness > 100 && *m.Swappiness != math.MaxUint64 { // old versions of Docker write unsigned -1 for "not set"
		c.fault(path+".swappiness", "must be from 0 to 100, not "+strconv.FormatUint(*m.Swappiness, 10))
	}
}

func (c *checker) cpu(u *specs.LinuxCPU) {
	if u == nil {
		return
	}
	const path = "linux.resources.cpu"
	c.limit(path+".quota", u.Quota)
	c.limit(path+".realtimeRuntime", u.RealtimeRuntime)
	if u.Burst != nil && u.Quota != nil && *u.Quota > 0 && *u.Burst > uint64(*u.Quota) {
		c.fault(path+".burst", "must not be greater than quota")
	}
	if u.Idle != nil && *u.Idle != 0 && *u.Idle != 1 {
		c.fault(path+".idle", "must be 0 or 1, not "+strconv.FormatInt(*u.Idle, 10))
	}
	c.ranges(path+".cpus", u.Cpus)
	c.ranges(path+".mems", u.Mems)
}

func (c *checker) blockIO(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	const path = "linux.resources.blockIO"
	c.weight(path+".weight", b.Weight)
	c.weight(path+".leafWeight", b.LeafWeight)
	for i, d := range b.WeightDevice {
		here := jsonpath.Index(path+".weightDevice", i)
		if d.Weight == nil && d.LeafWeight == nil {
			c.fault(here, "needs weight or leafWeight")
		}
		c.weight(here+".weight", d.Weight)
		c.weight(here+".leafWeight", d.LeafWeight)
		c.deviceNumbers(here, d.Major, d.Minor)
	}
	throttles := [...]struct {
		field string
		list  []specs.LinuxThrottleDevice
	}{
		{".throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{".throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{".throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{".throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	}
	for _, t := range throttles {
		for i, d := range t.list {
			here := jsonpath.Index(path+t.field, i)
			c.deviceNumbers(here, d.Major, d.Minor)
		}
	}
}

// weight checks a weight of block I/O; 0 means unset (Docker writes it).
func (c *checker) weight(path string, w *uint16) {
	if w != nil && *w != 0 && (*w < 10 || *w > 1000) {
		c.fault(path, "must be from 10 to 1000, not "+strconv.Itoa(int(*w)))
	}
}

// pageSize checks the size of linux.resources.hugepageLimits, <size><unit-prefix>B. It becomes part
// of a file name.
func (c *checker) pageSize(i int, s string) {
	here := jsonpath.Index("linux.resources.hugepageLimits", i) + ".pageSize"
	number, ok := strings.CutSuffix(s, "B")
	if ok && number != "" && strings.IndexByte("KMGT", number[len(number)-1]) >= 0 {
		number = number[:len(number)-1]
	}
	if n, err := strconv.ParseUint(number, 10, 64); !ok || err != nil || n == 0 {
		c.fault(here, "must be a size such as 64KB, 2MB or 1GB, not "+strconv.Quote(s))
	}
}
