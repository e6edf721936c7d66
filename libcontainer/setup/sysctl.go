package setup

import (
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// openProc opens a procfs that no other process can reach, for plans whose container has no
// suitable one: another file may be in place of one that is written to (CVE-2025-52881).
type openProc struct{}

func (openProc) kind() kind { return kind{phaseHide, "open", "open a private procfs"} }

func (openProc) lower(l *lowering) {
	l.procfs, l.hasProc = l.keep(), true
	l.newMount(l.procfs, "proc", "proc", nil, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// setSysctl sets a sysctl of the container's namespaces.
type setSysctl struct{ Name, File, Value string }

func (setSysctl) kind() kind       { return kind{phaseHide, "set sysctl", ""} }
func (s setSysctl) String() string { return "set sysctl " + s.Name + " = " + strconv.Quote(s.Value) }

// lower does not follow anything that is mounted over a file of the procfs.
func (s setSysctl) lower(l *lowering) {
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS
	fd := l.fd()
	l.openat2(l.procfs, "sys/"+s.File, unix.O_WRONLY, 0, resolve).Result(fd)
	l.write(fd, s.Value)
}

// sysctlSteps appends the sysctls.
func (b *builder) sysctlSteps(sysctl map[string]string, own bool) error {
	if len(sysctl) == 0 {
		return nil
	}
	if !own {
		b.add("", openProc{})
	}
	for _, n := range slices.Sorted(maps.Keys(sysctl)) { // equal configurations give equal plans
		file, ok := specconv.SysctlPath(n)
		if !ok {
			return specconv.Invalid(jsonpath.Member("linux.sysctl", n), "is not a name of a kernel parameter")
		}
		if err := b.checkShared(jsonpath.Member("linux.sysctl", n), specconv.SysctlNamespace(file)); err != nil {
			return err
		}
		b.add(jsonpath.Member("linux.sysctl", n), setSysctl{n, file, sysctl[n]})
	}
	return nil
}
