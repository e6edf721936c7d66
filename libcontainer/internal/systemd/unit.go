package systemd

import (
	"fmt"
	"path"
	"strings"
)

// A Bus selects the systemd of a unit.
type Bus string

const (
	System Bus = "system" // the host's
	User   Bus = "user"   // the calling user's own
)

// The default slices.
const (
	systemSlice = "system.slice"
	userSlice   = "user.slice"
)

const (
	scopeSuffix = ".scope"
	sliceSuffix = ".slice"
)

// Unit is a container's unit.
type Unit struct {
	Name string // "docker-ab12.scope"
	// Slice is the slice that contains the unit: "system.slice"; "" for a unit that is a slice
	// itself.
	Slice string
}

// ParsePath returns the unit of linux.cgroupsPath, "SLICE:PREFIX:NAME". It is PREFIX-NAME.scope in
// SLICE or, if NAME ends in .slice, NAME. An empty SLICE is system.slice, or the user's user.slice.
// An empty path is the unit orlop-ID.scope in that slice.
func ParsePath(cgroupsPath, id string, bus Bus) (Unit, error) {
	slice, prefix, name := "", "orlop", id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return Unit{}, fmt.Errorf("%q: must be SLICE:PREFIX:NAME when systemd manages cgroups", cgroupsPath)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	if slice == "" {
		slice = systemSlice
		if bus == User {
			slice = userSlice
		}
	}
	u := Unit{Name: prefix + "-" + name + scopeSuffix, Slice: slice}
	if strings.HasSuffix(name, sliceSuffix) {
		u = Unit{Name: name}
	}
	if err := checkName(u.Name); err != nil {
		return Unit{}, fmt.Errorf("unit %q: %w", u.Name, err)
	}
	if _, err := u.path(); err != nil {
		return Unit{}, err
	}
	return u, nil
}

// IsSlice reports whether the unit is a slice: a directory for units, into which systemd moves no
// process.
func (u Unit) IsSlice() bool { return u.Slice == "" }

// Path returns the unit's cgroup below the manager's own: "/a.slice/a-b.slice/x.scope". ParsePath
// must have returned the unit.
func (u Unit) Path() string {
	p, err := u.path()
	if err != nil {
		panic(err)
	}
	return p
}

func (u Unit) path() (string, error) {
	if u.IsSlice() {
		return slicePath(u.Name)
	}
	dir, err := slicePath(u.Slice)
	return path.Join(dir, escape(u.Name)), err
}

// slicePath returns the cgroup of a slice: each dash in its name separates a slice that contains it
// (systemd.slice(5)).
func slicePath(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, sliceSuffix)
	if !ok {
		return "", fmt.Errorf("slice %q: its name must end in .slice", slice)
	}
	if name == "-" {
		return "/", nil
	}
	if err := checkName(slice); err != nil {
		return "", fmt.Errorf("slice %q: %w", slice, err)
	}
	p, prefix := "/", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("slice %q: a dash must stand between two names", slice)
		}
		prefix += part
		p += escape(prefix+sliceSuffix) + "/"
		prefix += "-"
	}
	return strings.TrimSuffix(p, "/"), nil
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// maxName is the maximum length of a unit's name (UNIT_NAME_MAX - 1).
const maxName = 255

// checkName rejects names that systemd would refuse, or that are not the name of one directory.
func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("longer than %d bytes", maxName)
	}
	if rest := strings.Trim(name, letters+digits+`:-_.\@`); rest != "" {
		return fmt.Errorf("%q cannot be in the name of a unit", rest[0])
	}
	return nil
}

// escape returns the directory of a unit. The unit may be named like a file that the kernel has, or
// may have in future, in each cgroup. systemd puts an underscore before such names, and before
// those that have one (cg_escape).
func escape(name string) string {
	stem := name[:max(0, strings.LastIndexByte(name, '.'))]
	switch stem {
	case "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids",
		"bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces":
		return "_" + name
	}
	if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "cgroup.") {
		return "_" + name
	}
	return name
}
