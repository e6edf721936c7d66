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

// namespaceKind returns a type's row in the table of namespaces.
func namespaceKind(t string) (specconv.NamespaceKind, error) {
	for _, k := range specconv.NamespaceKinds() {
		if string(k.Type) == t {
			return k, nil
		}
	}
	return specconv.NamespaceKind{}, fmt.Errorf("unknown namespace type %q", t)
}

// since returns the first version of Linux with a namespace type, "" for the oldest types.
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

// namespace checks that the kernel has a namespace type and lets the caller create one
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
		return lacks("the sysctl user.max_%s_namespaces is 0: no %s namespace can be created", k.Proc, n.Name)
	}
	if k.Type == specs.UserNamespace && !a.has(unix.CAP_SYS_ADMIN) {
		if a.text("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
			return lacks("the sysctl kernel.unprivileged_userns_clone keeps ordinary users from creating user namespaces")
		}
	}
	return nil
}

// namespaceFile checks that a file is a namespace of the type that the container joins.
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
		return lacks("%s: not a namespace", n.Name)
	case err != nil:
		return fmt.Errorf("%s: ioctl NS_GET_NSTYPE: %w", n.Name, err)
	case uintptr(got) != k.Flag:
		return lacks("%s: not a %s namespace but one of another type", n.Name, n.Of)
	}
	return nil
}

// clock checks the offset of a clock: the clock must not become negative (time_namespaces(7)), and
// at least 146 years must remain until it overflows.
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
		return lacks("the clock %s is at %d s: with the offset %d s it would be negative", n.Name, now.Sec, offset)
	}
	return nil
}
