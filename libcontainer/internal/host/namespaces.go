package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// namespaceKind returns the row of the table of namespaces for a type.
func namespaceKind(t string) (specconv.NamespaceKind, error) {
	for _, k := range specconv.NamespaceKinds() {
		if string(k.Type) == t {
			return k, nil
		}
	}
	return specconv.NamespaceKind{}, fmt.Errorf("unknown type of namespace %q", t)
}

// since tells the version of Linux that first has a type of namespaces, of those that are not in
// all kernels.
func since(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.TimeNamespace:
		return "5.6"
	case specs.CgroupNamespace:
		return "4.6"
	case specs.UserNamespace:
		return "3.8"
	}
	return ""
}

// namespace looks whether there are namespaces of a type, and whether one more can be made
// (namespaces(7), "The /proc/sys/user directory").
func (a *asking) namespace(n needs.Need) error {
	k, err := namespaceKind(n.Name)
	if err != nil {
		return err
	}
	if !a.exists("/proc/self/ns/" + k.Proc) {
		return &Lack{Text: "the kernel has no " + n.Name + " namespaces", Since: since(k.Type)}
	}
	file := "/proc/sys/user/max_" + k.Proc + "_namespaces"
	if most, err := a.number(file); err == nil && most == 0 {
		return lacks("the sysctl user.max_%s_namespaces is 0: no %s namespace can be made", k.Proc, n.Name)
	}
	if k.Type == specs.UserNamespace && !a.has(unix.CAP_SYS_ADMIN) {
		if a.text("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
			return lacks("the sysctl kernel.unprivileged_userns_clone keeps ordinary users from making user namespaces")
		}
	}
	return nil
}

// namespaceFile looks whether a file is a namespace of the type that it is joined as.
func (a *asking) namespaceFile(n needs.Need) error {
	k, err := namespaceKind(n.Of)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(n.Name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return lacks("%s: %s", n.Name, reason(err))
	}
	defer f.Close()
	got, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	switch {
	case errors.Is(err, unix.ENOTTY):
		return lacks("%s: is no namespace", n.Name)
	case err != nil:
		return fmt.Errorf("%s: ioctl NS_GET_NSTYPE: %w", n.Name, err)
	case uintptr(got) != k.Flag:
		return lacks("%s: is a namespace of another type than %s", n.Name, n.Of)
	}
	return nil
}

// clock looks whether a clock bears an offset: it must not come before its beginning
// (time_namespaces(7)), nor go on for less than 146 years.
func (a *asking) clock(n needs.Need) error {
	id := int32(unix.CLOCK_MONOTONIC)
	if n.Name == "boottime" {
		id = unix.CLOCK_BOOTTIME
	}
	offset, err := strconv.ParseInt(n.Of, 10, 64)
	if err != nil {
		return err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		return fmt.Errorf("clock_gettime: %w", err)
	}
	const most = 1 << 62 / 1_000_000_000 // KTIME_SEC_MAX / 2
	switch {
	case offset > most || offset < -most:
		return lacks("the offset of the clock %s is beyond %d seconds", n.Name, most)
	case now.Sec+offset < 0:
		return lacks("the clock %s is at %d s: with the offset %d s it would be before its beginning", n.Name, now.Sec, offset)
	}
	return nil
}
