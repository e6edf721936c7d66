package specconv

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv/jsonpath"
)

// NetDevice is one entry of linux.netDevices.
type NetDevice struct {
	// Host is the device's name in the runtime's network namespace.
	Host string
	// Name is its name in the container's network namespace. The kernel replaces %d by a free
	// number.
	Name string
}

// netDevices checks linux.netDevices and sets the bundle's NetDevices.
func (c *checker) netDevices(b *Bundle) {
	devices := c.spec.Linux.NetDevices
	if len(devices) == 0 {
		return
	}
	c.needs(specs.NetworkNamespace, "linux.netDevices")
	taken := make(map[string]string, len(devices))
	for _, host := range sortedKeys(devices) {
		here := jsonpath.Member("linux.netDevices", host)
		if !validInterface(host) || strings.Contains(host, "%") {
			c.fault(here, "is not a name of a network device")
		}
		name := devices[host].Name
		if name == "" {
			name = host
		} else if !validInterface(name) || !validTemplate(name) {
			c.fault(here+".name", strconv.Quote(name)+" is not a name of a network device")
		}
		if other, ok := taken[name]; ok && !strings.Contains(name, "%") {
			c.fault(here+".name", "is the name of "+jsonpath.Member("linux.netDevices", other)+" too")
		}
		taken[name] = host
		b.NetDevices = append(b.NetDevices, NetDevice{Host: host, Name: name})
	}
}

// validInterface follows the kernel's dev_valid_name.
func validInterface(name string) bool {
	return name != "" && len(name) < 16 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00")
}

// validTemplate follows the kernel's __dev_alloc_name: at most one %d and no other percent sign.
func validTemplate(name string) bool {
	before, after, template := strings.Cut(name, "%d")
	return !strings.Contains(before, "%") && (!template || !strings.Contains(after, "%"))
}
