package setup

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// fsconfig(2) accepts values of up to 255 bytes, mount(2) a page of options.
const (
	maxParameter = 255
	maxOptions   = 4095
	maxSource    = unix.PathMax - 1
)

// checkParameters rejects what the kernel would refuse without saying why. early is set for a mount
// that is made before longMount has a directory to mount on.
func checkParameters(field string, m *specconv.Mount, early bool) error {
	if len(m.Source) > maxSource {
		return specconv.Invalid(field+".source", fmt.Sprintf("longer than %d bytes", maxSource))
	}
	for i, d := range m.Data {
		if key, _, _ := strings.Cut(d, "="); key == "" && d != "" {
			return specconv.Invalid(field+".options", fmt.Sprintf("%q: has no name", m.Data[i]))
		}
	}
	switch {
	case m.Remount && isLong("", m.Data):
		return specconv.Invalid(field+".options", fmt.Sprintf("one is longer than %d bytes, which a remount does not support", maxParameter))
	case early && isLong(m.Source, m.Data):
		return specconv.Invalid(field, fmt.Sprintf("has a source or an option that is longer than %d bytes", maxParameter))
	case isLong(m.Source, m.Data) && len(mountData(m.Type, m.Data)) > maxOptions:
		return specconv.Invalid(field+".options", fmt.Sprintf("longer than %d bytes in total", maxOptions))
	}
	return nil
}

// isLong reports whether a mount's source or one of its parameters is too long for fsconfig(2).
func isLong(source string, parameters []string) bool {
	if len(source) > maxParameter {
		return true
	}
	for _, p := range parameters {
		key, value, _ := strings.Cut(p, "=")
		if len(key) > maxParameter || len(value) > maxParameter {
			return true
		}
	}
	return false
}

// splitLayers returns an overlay's parameters with one parameter for each layer, which Linux 6.8
// accepts. It only does so if the list is too long for mount(2) and each layer is short enough for
// fsconfig(2).
func splitLayers(m *specconv.Mount) []string {
	if m.Type != "overlay" || !isLong("", m.Data) || len(mountData(m.Type, m.Data)) <= maxOptions {
		return m.Data
	}
	var list []string
	for _, p := range m.Data {
		layers, ok := strings.CutPrefix(p, "lowerdir=")
		if !ok {
			list = append(list, p)
			continue
		}
		key := "lowerdir+="
		for i, layer := range layersOf(layers) {
			switch {
			case layer == "" && i > 0: // "::" comes before a data layer
				key = "datadir+="
			default:
				list = append(list, key+layer)
			}
		}
	}
	if isLong("", list) {
		return m.Data
	}
	return list
}

// layersOf splits the value of lowerdir at its colons, and removes the backslashes that escape a
// colon.
func layersOf(value string) []string {
	var list []string
	var layer strings.Builder
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\' && i+1 < len(value):
			i++
			layer.WriteByte(value[i])
		case value[i] == ':':
			list = append(list, layer.String())
			layer.Reset()
		default:
			layer.WriteByte(value[i])
		}
	}
	return append(list, layer.String())
}

// mountData returns parameters in the form for mount(2). A comma in overlay's paths may be part of
// the path; see configure.
func mountData(fstype string, parameters []string) string {
	var data strings.Builder
	for i, p := range parameters {
		if i > 0 {
			data.WriteByte(',')
		}
		if key, label, ok := securityLabel(p); ok {
			data.WriteString(key + `="` + label + `"`)
			continue
		}
		if fstype != "overlay" {
			data.WriteString(p)
			continue
		}
		for j := 0; j < len(p); j++ {
			switch {
			case p[j] == '\\' && j+1 < len(p):
				data.WriteByte(p[j])
				j++
			case p[j] == ',':
				data.WriteByte('\\')
			}
			data.WriteByte(p[j])
		}
	}
	return data.String()
}

// superFlags are mount(2)'s flags for a filesystem's flags in fsconfig's spelling.
var superFlags = [...]superFlag{
	{"ro", unix.MS_RDONLY}, {"sync", unix.MS_SYNCHRONOUS}, {"dirsync", unix.MS_DIRSYNC}, {"mand", unix.MS_MANDLOCK}, {"lazytime", unix.MS_LAZYTIME},
}

type superFlag struct {
	name string
	flag int
}

// mountFlags separates a filesystem's flags from its parameters.
func mountFlags(parameters []string) (flags int, rest []string) {
	for _, p := range parameters {
		if i := slices.IndexFunc(superFlags[:], func(f superFlag) bool { return f.name == p }); i >= 0 {
			flags |= superFlags[i].flag
		} else {
			rest = append(rest, p)
		}
	}
	return flags, rest
}

// longMount emits the creation of a detached mount by mount(2), which accepts longer strings than
// fsconfig(2) but needs a path to mount on. It uses a directory in a tmpfs of its own on the
// destination, and unmounts it at once. No path of the container is walked.
func (l *lowering) longMount(mount, to nsenter.Reg, fstype, source string, parameters []string, attributes uint64) {
	const name = "m"
	cwd, dir := l.openCwd(), l.fd()
	l.newMount(dir, "tmpfs", "", nil, 0)
	l.at(unix.SYS_MKDIRAT, in(dir), name, nsenter.Int(0o700))
	l.move(dir, to)
	l.call(unix.SYS_FCHDIR, dir)
	flags, data := mountFlags(parameters)
	l.at(unix.SYS_MOUNT, in(l.str(source)), name, l.str(fstype), nsenter.Int(flags), l.str(mountData(fstype, data)))
	l.at(unix.SYS_OPEN_TREE, in(dir), name, nsenter.Int(openTree)).Result(mount)
	l.host(unix.SYS_UMOUNT2, ".", l.str("."), nsenter.Int(unix.MNT_DETACH))
	l.call(unix.SYS_FCHDIR, cwd)
	// Whether the copy is shared depends on what it was mounted on. A mount made by fsmount(2)
	// would be private.
	attr := unix.MountAttr{Attr_set: attributes, Attr_clr: unix.MOUNT_ATTR__ATIME, Propagation: unix.MS_PRIVATE}
	l.setattr(mount, attr, false)
}
