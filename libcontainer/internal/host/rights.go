package host

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/idmap"
	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// Rights are the privileges of the calling process: its capabilities, and where they hold.
type Rights struct {
	Permitted, Effective uint64 // capabilities; the process can grant only permitted ones
	// Nested is set in a user namespace that is not the initial one. There even root can neither
	// create device nodes nor raise limits.
	Nested bool
}

// ReadRights returns the rights of this process.
func ReadRights() (r Rights, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return r, fmt.Errorf("capget: %w", err)
	}
	r.Permitted = uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
	r.Effective = uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	r.Nested, err = idmap.Own()
	return r, err
}

// Unprivileged reports whether the process lacks the right to mount and to create namespaces.
func (r Rights) Unprivileged() bool { return r.Permitted&(1<<unix.CAP_SYS_ADMIN) == 0 }

// CheckNamespaces returns an error if the process may not create or join a bundle's namespaces.
func (r Rights) CheckNamespaces(b *specconv.Bundle) error {
	if _, inUser := b.Namespace(specs.UserNamespace); inUser || !r.Unprivileged() || len(b.Namespaces) == 0 {
		return nil
	}
	return specconv.Invalid("linux.namespaces", "an ordinary user needs a user namespace to have others")
}

// lastCap returns the highest capability that the kernel knows: it refuses to read higher ones from
// the bounding set (capabilities(7)). Reading two is faster than /proc/sys/kernel/cap_last_cap.
func lastCap() uint {
	known := func(n uint) bool {
		_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		return err == nil
	}
	last := uint(unix.CAP_LAST_CAP)
	for !known(last) && last > 0 {
		last--
	}
	for known(last + 1) {
		last++
	}
	return last
}

func (a *asking) has(capability uint) bool { return a.rights.Effective&(1<<capability) != 0 }

// capability checks that the caller has a capability.
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

// limit checks that a hard limit can be set: raising one needs CAP_SYS_RESOURCE on the host, and
// RLIMIT_NOFILE has a limit that holds for everyone.
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
	if hard > own.Max && (!a.has(unix.CAP_SYS_RESOURCE) || a.rights.Nested) {
		return lacks("%s %d is more than the caller's own hard limit, %d, and raising it needs CAP_SYS_RESOURCE", n.Name, hard, own.Max)
	}
	return nil
}
