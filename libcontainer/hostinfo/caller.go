package hostinfo

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/needs"
	"github.com/orlop/orlop/specconv"
)

// effective returns the caller's effective capabilities.
func effective() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("capget: %w", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

func (a *asking) has(capability uint) bool { return a.caps&(1<<capability) != 0 }

// capability looks whether the caller has a capability.
func (a *asking) capability(n needs.Need) error {
	number, ok := specconv.CapabilityNumber(n.Name)
	if !ok {
		return fmt.Errorf("unknown capability %q", n.Name)
	}
	if !a.has(number) {
		return lacks("the caller lacks %s", n.Name)
	}
	return nil
}

// limit looks whether a hard limit can be set: to raise one takes a right over the host, and of open files there is an end for all.
func (a *asking) limit(n needs.Need) error {
	resource, ok := specconv.RlimitResource(n.Name)
	hard, err := strconv.ParseUint(n.Of, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("%s %q: %w", n.Name, n.Of, err)
	}
	if resource == unix.RLIMIT_NOFILE {
		if most, err := a.number("/proc/sys/fs/nr_open"); err == nil && hard > most {
			return lacks("%s %d is more than the sysctl fs.nr_open, %d", n.Name, hard, most)
		}
	}
	var own unix.Rlimit
	if err := unix.Prlimit(0, resource, nil, &own); err != nil {
		return fmt.Errorf("prlimit: %w", err)
	}
	if hard > own.Max && (!a.has(unix.CAP_SYS_RESOURCE) || a.ids.nested) {
		return lacks("%s %d is more than the caller's own hard limit, %d, and to raise it takes CAP_SYS_RESOURCE", n.Name, hard, own.Max)
	}
	return nil
}
