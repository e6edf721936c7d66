package hostinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/needs"
)

// networkInterface looks for an interface of the caller's network namespace.
func (a *asking) networkInterface(n needs.Need) error {
	request, err := unix.NewIfreq(n.Name)
	if err != nil {
		return lacks("%q is no name of a network interface", n.Name)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
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

// resctrlMount returns where the resctrl file system is mounted, "" when it is not.
func (a *asking) resctrlMount() string {
	for line := range strings.Lines(a.text("/proc/self/mountinfo")) {
		// 36 35 0:40 / /sys/fs/resctrl rw - resctrl resctrl rw
		before, after, ok := strings.Cut(line, " - resctrl ")
		if f := strings.Fields(before); ok && after != "" && len(f) > 4 {
			return f[4]
		}
	}
	return ""
}

// resctrl looks for the resctrl file system, or for what it controls or monitors.
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

// processors looks whether there is one of a list that is online.
func (a *asking) processors(n needs.Need) error {
	return a.anyOf(n.Name, "/sys/devices/system/cpu/online", "processors")
}

// memoryNodes looks whether all of a list have memory.
func (a *asking) memoryNodes(n needs.Need) error {
	have := parseRanges(a.text("/sys/devices/system/node/has_memory"))
	if len(have) == 0 {
		have = map[int]bool{0: true} // a kernel without NUMA
	}
	for node := range parseRanges(n.Name) {
		if !have[node] {
			return lacks("there is no memory node %d", node)
		}
	}
	return nil
}

func (a *asking) anyOf(list, file, what string) error {
	have := parseRanges(a.text(file))
	for n := range parseRanges(list) {
		if have[n] {
			return nil
		}
	}
	return lacks("none of the %s %s is online", what, list)
}

// parseRanges reads a list as the kernel writes it, "0-3,7".
func parseRanges(text string) map[int]bool {
	set := make(map[int]bool)
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		for n := first; n <= last && n < 1<<16; n++ {
			set[n] = true
		}
	}
	return set
}

// device looks for a node of the host.
func (a *asking) device(n needs.Need) error {
	info, err := os.Stat(n.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lacks("the host has no %s, and in a user namespace no node can be made", n.Name)
	case err != nil:
		return lacks("%s: %s", n.Name, reason(err))
	case info.Mode()&fs.ModeDevice == 0:
		return lacks("%s: is no device", n.Name)
	}
	return nil
}
