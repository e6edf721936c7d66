package host

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/mountinfo"
	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// networkInterface looks for an interface in the caller's network namespace.
func (a *asking) networkInterface(n needs.Need) error {
	request, err := unix.NewIfreq(n.Name)
	if err != nil {
		return lacks("%q is not a valid name of a network interface", n.Name)
	}
	socket, err := sys.UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(socket)
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request); errors.Is(err, unix.ENODEV) {
		return lacks("there is no network interface %s", n.Name)
	} else if err != nil {
		return fmt.Errorf("ioctl SIOCGIFINDEX: %w", err)
	}
	return nil
}

// resctrlMount returns the mount point of the resctrl filesystem, "" when it is not mounted.
func (a *asking) resctrlMount() string {
	for m := range mountinfo.Mounts(a.text("/proc/self/mountinfo")) {
		if m.Root == "/" && m.Type == "resctrl" {
			return m.Point
		}
	}
	return ""
}

// resctrl looks for the resctrl filesystem, or for a resource that it controls or monitors.
func (a *asking) resctrl(n needs.Need) error {
	types, err := a.fileSystems()
	if err != nil {
		return err
	}
	if _, ok := types["resctrl"]; !ok {
		return lacks("the kernel or the processor has no resource control (resctrl)")
	}
	mount := a.resctrlMount()
	switch {
	case mount == "":
		return lacks("resctrl is not mounted")
	case n.Name != "" && !a.exists(mount+"/info/"+n.Name):
		return lacks("the processor does not have the resource %s", n.Name)
	}
	return nil
}

// processors checks that at least one of the listed processors is online.
func (a *asking) processors(n needs.Need) error {
	online := specconv.RangeMask(a.text("/sys/devices/system/cpu/online"))
	for i, word := range specconv.RangeMask(n.Name) {
		if i < len(online) && word&online[i] != 0 {
			return nil
		}
	}
	return lacks("none of the processors %s is online", n.Name)
}

// memoryNodes checks that all listed nodes have memory.
func (a *asking) memoryNodes(n needs.Need) error {
	have := specconv.RangeMask(a.text("/sys/devices/system/node/has_memory"))
	if have == nil {
		have = []uint64{1} // a kernel without NUMA
	}
	for i, word := range specconv.RangeMask(n.Name) {
		if i < len(have) {
			word &^= have[i]
		}
		if word != 0 {
			return lacks("there is no memory node %d", 64*i+bits.TrailingZeros64(word))
		}
	}
	return nil
}

// device looks for a device node of the host.
func (a *asking) device(n needs.Need) error {
	info, err := os.Stat(n.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lacks("the host has no %s, and device nodes cannot be created in a user namespace", n.Name)
	case err != nil:
		return lacks("%s: %s", n.Name, reason(err))
	case info.Mode()&fs.ModeDevice == 0:
		return lacks("%s: not a device", n.Name)
	}
	return nil
}
