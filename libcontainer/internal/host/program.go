package host

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// program looks for a program in the container as it will be, with the rights of process.user.
func (a *asking) program(n needs.Need) error {
	if a.bundle == nil {
		return errUnknown
	}
	if strings.Contains(n.Name, "/") {
		at, err := a.executable(n.Name)
		if err != nil {
			return lackOf(n.Name, err)
		}
		return a.format(n.Name, at)
	}
	unsure := false
	for _, candidate := range n.Paths {
		at, err := a.executable(candidate)
		if err == nil {
			return a.format(candidate, at)
		}
		unsure = unsure || isUnknown(err)
	}
	if unsure {
		return errUnknown
	}
	return lacks("%q: executable file not found in $PATH of the container", n.Name)
}

// lackOf is errUnknown for an error that says the caller cannot find out, and else a Lack.
func lackOf(name string, err error) error {
	if isUnknown(err) {
		return errUnknown
	}
	return lacks("%q: %s in the container", name, reason(err))
}

// errNotExecutable is not fs.ErrPermission: that means that the caller could not find out.
var errNotExecutable = errors.New("permission denied: it cannot be executed by process.user")

// executable looks at one path. A relative one begins at the process's working directory.
func (a *asking) executable(p string) (found, error) {
	if !path.IsAbs(p) {
		p = path.Join("/", a.process().Cwd, p)
	}
	at, err := resolve(a.bundle, p)
	switch {
	case err != nil:
		return at, err
	case at.info.IsDir():
		return at, unix.EISDIR
	case !at.info.Mode().IsRegular() || !a.mayExecute(at.info):
		return at, errNotExecutable
	case a.noexec(at):
		return at, errors.New("permission denied: it lies on a mount with the option noexec")
	}
	return at, nil
}

// mayExecute reports whether a file's mode lets the process execute it. It ignores access control
// lists, and accepts any execute bit if the container joins a user namespace.
func (a *asking) mayExecute(info fs.FileInfo) bool {
	mode, owner := info.Mode().Perm(), ownerOf(info)
	u, known := a.user()
	sets, _ := specconv.ParseCapabilities(a.process().Capabilities)
	switch {
	case !known || sets.Effective&(1<<unix.CAP_DAC_OVERRIDE) != 0:
		return mode&0o111 != 0
	case owner.UID == u.UID:
		return mode&0o100 != 0
	case owner.GID == u.GID || slices.Contains(u.AdditionalGids, owner.GID):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// process returns the bundle's process, or an empty one, whose user hooks have.
func (a *asking) process() *specs.Process {
	if p := a.bundle.Spec.Process; p != nil {
		return p
	}
	return &specs.Process{}
}

// user returns the ids that the process will have on the host.
func (a *asking) user() (_ specs.User, known bool) {
	u := a.process().User
	n, ok := a.bundle.Namespace(specs.UserNamespace)
	switch {
	case !ok:
		return u, true
	case n.Path != "":
		return u, false
	}
	l := a.bundle.Spec.Linux
	mapped := specs.User{UID: hostID(l.UIDMappings, u.UID), GID: hostID(l.GIDMappings, u.GID)}
	for _, g := range u.AdditionalGids {
		mapped.AdditionalGids = append(mapped.AdditionalGids, hostID(l.GIDMappings, g))
	}
	return mapped, true
}

func hostID(list []specs.LinuxIDMapping, id uint32) uint32 {
	if host, ok := specconv.HostID(list, id); ok {
		return host
	}
	return 65534 // nobody
}

// noexec reports whether a file lies on a mount with the option noexec.
func (a *asking) noexec(at found) bool {
	if m := at.mount; m != nil {
		if (m.AttrSet|m.RecAttrSet)&unix.MOUNT_ATTR_NOEXEC != 0 {
			return true
		}
		if (m.AttrClear|m.RecAttrClear)&unix.MOUNT_ATTR_NOEXEC != 0 {
			return false
		}
	}
	var st unix.Statfs_t
	return unix.Statfs(at.host, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// format checks that the kernel can execute a file of this format.
func (a *asking) format(name string, at found) error {
	f, err := at.read()
	if errors.Is(err, errChanged) {
		return errUnknown
	}
	if err != nil {
		return nil // the file may be executable but not readable
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	switch {
	case strings.HasPrefix(string(head), "#!"):
		interpreter := strings.Fields(strings.SplitN(string(head[2:]), "\n", 2)[0] + " ")
		if len(interpreter) == 0 {
			return nil
		}
		return a.interpreter(name, interpreter[0])
	case strings.HasPrefix(string(head), "\x7fELF") && n > 20:
		if machines := hostMachines(); machines == nil || slices.Contains(machines, binary.LittleEndian.Uint16(head[18:])) {
			return a.interpreter(name, elfInterpreter(f))
		}
		if a.emulates() {
			return nil
		}
		return lacks("%q: built for another architecture than %s", name, runtime.GOARCH)
	}
	if a.emulates() {
		return nil
	}
	return lacks("%q: exec format error: it is neither an ELF file nor a script", name)
}

// interpreter looks for a script's interpreter or a dynamic program's loader.
func (a *asking) interpreter(name, interpreter string) error {
	if interpreter == "" {
		return nil
	}
	if _, err := a.executable(interpreter); err != nil && !isUnknown(err) {
		return lacks("%q: its interpreter %s: %s in the container", name, interpreter, reason(err))
	}
	return nil
}

// emulates reports whether handlers for other formats are registered (binfmt_misc).
func (a *asking) emulates() bool {
	entries, err := os.ReadDir(a.root + "/proc/sys/fs/binfmt_misc")
	return err == nil && len(entries) > 2 // register and status
}

// hostMachines returns the ELF machine numbers that this architecture executes; nil if they are not
// known.
func hostMachines() []uint16 {
	const em386, emARM, emX86_64, emAARCH64 = 3, 40, 62, 183
	switch runtime.GOARCH {
	case "amd64":
		return []uint16{emX86_64, em386}
	case "arm64":
		return []uint16{emAARCH64, emARM}
	}
	return nil
}

// directory checks whether a directory can be entered; create makes a missing one.
func (a *asking) directory(n needs.Need) error {
	if a.bundle == nil {
		return errUnknown
	}
	at, err := resolve(a.bundle, path.Join("/", n.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return lackOf(n.Name, err)
	case !at.info.IsDir():
		return lacks("%q: not a directory in the container", n.Name)
	}
	return nil
}
