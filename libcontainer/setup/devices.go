package setup

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// device is a node to be made.
type device struct {
	Path         string
	Type         uint32 // S_IFCHR, ...
	Major, Minor int64
	Mode         uint32
	UID, GID     uint32
}

// defaultDevices are the nodes that every container has (config-linux.md, "Default Devices").
// /dev/console and /dev/ptmx are made elsewhere.
var defaultDevices = [...]device{
	{"/dev/null", unix.S_IFCHR, 1, 3, 0o666, 0, 0},
	{"/dev/zero", unix.S_IFCHR, 1, 5, 0o666, 0, 0},
	{"/dev/full", unix.S_IFCHR, 1, 7, 0o666, 0, 0},
	{"/dev/random", unix.S_IFCHR, 1, 8, 0o666, 0, 0},
	{"/dev/urandom", unix.S_IFCHR, 1, 9, 0o666, 0, 0},
	{"/dev/tty", unix.S_IFCHR, 5, 0, 0o666, 0, 0},
}

func (d *device) String() string {
	kind := "c"
	switch d.Type {
	case unix.S_IFBLK:
		kind = "b"
	case unix.S_IFIFO:
		return fmt.Sprintf("%s (fifo, mode %04o)", d.Path, d.Mode)
	}
	return fmt.Sprintf("%s (%s %d:%d, mode %04o)", d.Path, kind, d.Major, d.Minor, d.Mode)
}

// deviceOr emits the comparison of an open file with d, and a jump to the label if it is another
// device.
func (l *lowering) deviceOr(fd nsenter.Reg, d *device, other nsenter.Label) {
	stat := l.prog.Bytes(make([]byte, statxSize))
	l.at(unix.SYS_STATX, in(fd), "", nsenter.Int(unix.AT_EMPTY_PATH), nsenter.Int(unix.STATX_TYPE), stat)
	for _, want := range [...]struct {
		at          nsenter.Addr
		mask, value uint32
	}{{statxMode, unix.S_IFMT, d.Type}, {statxMajor, ^uint32(0), uint32(d.Major)}, {statxMinor, ^uint32(0), uint32(d.Minor)}} {
		same := l.prog.NewLabel()
		l.prog.Load(stat+want.at, want.mask, want.value).OnZero(same)
		l.prog.Jump(other)
		l.prog.Place(same)
	}
}

// makeDevice makes one configured node.
type makeDevice struct {
	Device device
	// Node is the name of a node that the runtime has made, see attachNodes; "" for none.
	Node string
}

func (makeDevice) kind() kind       { return kind{phaseDevices, "make device", ""} }
func (m makeDevice) String() string { return "make device " + m.Device.String() }

func (m makeDevice) lower(l *lowering) {
	dir, fresh := l.directory(path.Dir(m.Device.Path))
	if m.Node == "" {
		done := l.prog.NewLabel()
		if !fresh {
			l.nodeOfLink(&m.Device, done)
		}
		l.makeNode(dir, &m.Device, m.Device.Type != unix.S_IFIFO)
		l.prog.Place(done)
		return
	}
	there := l.prog.NewLabel()
	l.bindNode(dir, &m.Device, m.Node, there)
	l.prog.Place(there)
}

// nodeOfLink handles a dangling link of the image at the node's path: it emits the creation of the
// node at the link's target and a jump to the label. If there is no such link, or its target
// exists, execution just continues.
func (l *lowering) nodeOfLink(d *device, done nsenter.Label) {
	missing, ordinary := l.prog.NewLabel(), l.prog.NewLabel()
	l.openat2(l.root, rel(d.Path), unix.O_PATH, 0, inRoot).OnError(missing)
	l.prog.Jump(ordinary)
	l.prog.Place(missing)
	l.openat2(l.root, rel(d.Path), unix.O_PATH|unix.O_NOFOLLOW, 0, inRoot).OnError(ordinary)
	l.followLinks(d.Path, func(parent nsenter.Reg, name nsenter.Addr) {
		number := unix.Mkdev(uint32(d.Major), uint32(d.Minor))
		l.atSent(unix.SYS_MKNODAT, parent, name, nsenter.Int(d.Type|d.Mode), nsenter.Int(number)).OnError(done, unix.EEXIST)
		if d.UID != 0 || d.GID != 0 {
			l.atSent(unix.SYS_FCHOWNAT, parent, name, nsenter.Int(d.UID), nsenter.Int(d.GID), nsenter.Int(unix.AT_SYMLINK_NOFOLLOW))
		}
	})
	l.prog.Jump(done)
	l.prog.Place(ordinary)
}

// makeNode emits the creation of a node in a directory, unless the image or a mount already has
// that name. With bind, a node that may not be made is replaced by the host's node of the same
// path, if it is the same device. The container's device rules, which already apply, may allow a
// device to be read and written but not its node to be made.
func (l *lowering) makeNode(dir nsenter.Reg, d *device, bind bool) {
	name := path.Base(d.Path)
	there := l.prog.NewLabel()
	number := unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	refused := l.prog.NewLabel()
	node := l.at(unix.SYS_MKNODAT, in(dir), name, nsenter.Int(d.Type|d.Mode), nsenter.Int(number))
	if bind {
		node.OnError(refused, unix.EEXIST, unix.EPERM)
	} else {
		node.OnError(there, unix.EEXIST)
	}
	if d.UID != 0 || d.GID != 0 {
		l.at(unix.SYS_FCHOWNAT, in(dir), name, nsenter.Int(d.UID), nsenter.Int(d.GID), nsenter.Int(unix.AT_SYMLINK_NOFOLLOW))
	}
	if bind {
		l.prog.Jump(there)
		l.prog.Place(refused)
		l.bindNode(dir, d, "", there)
	}
	l.prog.Place(there)
}

// bindNode emits the mount of a node on a new file, unless that name exists. The node is the one
// that the runtime has made, or the host's of that path if it is the same device.
func (l *lowering) bindNode(dir nsenter.Reg, d *device, made string, there nsenter.Label) {
	name := path.Base(d.Path)
	on, mount := l.fd(), l.fd()
	l.at(unix.SYS_MKNODAT, in(dir), name, nsenter.Int(unix.S_IFREG), nsenter.Int(0)).OnError(there, unix.EEXIST)
	l.open(on, dir, name, unix.O_PATH, 0, inRoot|unix.RESOLVE_NO_SYMLINKS)
	absent, fine := l.prog.NewLabel(), l.prog.NewLabel()
	if made != "" {
		l.at(unix.SYS_OPEN_TREE, in(l.nodes), made, nsenter.Int(openTree)).Result(mount).OnError(absent, unix.ENOENT)
		l.prog.Jump(fine)
		l.prog.Place(absent)
	}
	l.hostNode(mount, d, fine)
	l.move(mount, on)
}

// hostNode emits the copying of the host's node of a device, which fails if that is another device.
// It places the label at its end.
func (l *lowering) hostNode(to nsenter.Reg, d *device, end nsenter.Label) {
	other := l.prog.NewLabel()
	l.hostTree(d.Path, 0).Result(to)
	l.deviceOr(to, d, other)
	l.prog.Jump(end)
	l.prog.Place(other)
	l.prog.Fail(unix.ENXIO)
	l.prog.Place(end)
}

// directory emits the opening of a directory in which something is created. fresh reports whether
// no other process has written to it.
func (l *lowering) directory(p string) (dir nsenter.Reg, fresh bool) {
	if m := l.lastMounted(func(d string) bool { return d == p }); m != nil && m.fresh {
		return m.fd, true
	}
	return l.destination(p, aDirectory), false
}

// fillDev makes the default nodes and links of /dev.
type fillDev struct {
	Devices []device
	// Fresh is set when /dev is a new tmpfs, so no file can be in the way.
	Fresh bool
	// MountedNull is set when something is mounted on /dev/null.
	MountedNull bool
	// Bind is set in a user namespace, where nodes cannot be made: the host's are bound instead.
	Bind bool
}

func (fillDev) kind() kind { return kind{phaseDevices, "fill", ""} }

func (f fillDev) String() string {
	text := "fill /dev:"
	for i := range f.Devices {
		text += " " + path.Base(f.Devices[i].Path)
	}
	return text + " fd stdin stdout stderr core ptmx"
}

func (f fillDev) lower(l *lowering) {
	l.null = l.keep()
	dev, fresh := l.directory("/dev")
	for i := range f.Devices {
		l.makeNode(dev, &f.Devices[i], f.Bind)
	}
	if fresh && !f.Bind && !f.MountedNull && len(f.Devices) > 0 && f.Devices[0].Path == "/dev/null" {
		// Later steps may only trust it as a null device because this process has just made it, in
		// a directory that no other process has written to (CVE-2025-31133).
		l.open(l.null, dev, "null", unix.O_PATH|unix.O_NOFOLLOW, 0, inRoot|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
		l.hasNull = true
	}
	for _, link := range [...][2]string{
		{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
	} {
		l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str(link[0]), dev}, link[1]).Ignore(unix.EEXIST)
	}
	f.core(l, dev)
	// An existing node may be the host's, which opens terminals of the wrong devpts.
	if !f.Fresh {
		l.at(unix.SYS_UNLINKAT, in(dev), "ptmx", nsenter.Int(0)).Ignore(unix.ENOENT)
		l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str("pts/ptmx"), dev}, "ptmx")
		return
	}
	l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str("pts/ptmx"), dev}, "ptmx").Ignore(unix.EEXIST)
}

// core emits the link to the kernel's memory image, if the kernel has one.
func (fillDev) core(l *lowering, dev nsenter.Reg) {
	none := l.prog.NewLabel()
	if l.hasProc {
		l.at(unix.SYS_FACCESSAT2, in(l.procfs), "kcore", nsenter.Int(unix.F_OK), nsenter.Int(unix.AT_SYMLINK_NOFOLLOW)).OnError(none)
	} else {
		l.openat2(l.root, "proc/kcore", unix.O_PATH, 0, inRoot).OnError(none)
	}
	l.at(unix.SYS_SYMLINKAT, []nsenter.Arg{l.str("/proc/kcore"), dev}, "core").Ignore(unix.EEXIST)
	l.prog.Place(none)
}

// deviceSteps makes nodes and links, unless /dev is the host's.
func (b *builder) deviceSteps(bundle *specconv.Bundle) error {
	fresh := false
	for i := range bundle.Mounts {
		m := &bundle.Mounts[i]
		if m.Remount {
			continue
		}
		if m.Destination == "/dev" {
			if m.Bind {
				return nil
			}
			fresh = m.Type == "tmpfs" && !m.TmpCopyUp
		} else if m.Destination == "/" {
			fresh = false
		}
	}
	var configured []specs.LinuxDevice
	if bundle.Spec.Linux != nil {
		configured = bundle.Spec.Linux.Devices
	}
	fill := fillDev{Fresh: fresh, Bind: b.inUser || b.facts.Nested,
		MountedNull: slices.ContainsFunc(bundle.Mounts, func(m specconv.Mount) bool { return m.Destination == "/dev/null" })}
	for _, d := range defaultDevices {
		if !hasDevice(configured, d.Path) {
			fill.Devices = append(fill.Devices, d)
		}
	}
	fill.Fresh = fresh && !hasDevice(configured, "/dev/ptmx")
	b.add("", fill)
	return b.configuredDevices(configured)
}

// configuredDevices makes linux.devices.
func (b *builder) configuredDevices(configured []specs.LinuxDevice) error {
	var steps []Step
	var nodes DeviceNodes
	users := UserNamespace(b.bundle, b.facts)
	for i := range configured {
		if path.Clean(configured[i].Path) == "/dev/ptmx" {
			continue // replaced by a link, see fillDev
		}
		field := jsonpath.Index("linux.devices", i)
		m := makeDevice{Device: parseDevice(&configured[i])}
		if m.Device.Type != unix.S_IFIFO && b.passed() && users != nil {
			node, err := m.Device.outside(field, users)
			if err != nil {
				return err
			}
			m.Node = strconv.Itoa(len(nodes.Nodes))
			nodes.Nodes = append(nodes.Nodes, node)
		}
		steps = append(steps, Step{field, m})
	}
	if len(nodes.Nodes) == 0 {
		b.plan.Steps = append(b.plan.Steps, steps...)
		return nil
	}
	b.add("linux.devices", attachNodes{&nodes})
	b.plan.Steps = append(b.plan.Steps, steps...)
	b.add("linux.devices", removeNodes{})
	return nil
}

func hasDevice(list []specs.LinuxDevice, p string) bool {
	return slices.ContainsFunc(list, func(d specs.LinuxDevice) bool { return path.Clean(d.Path) == p })
}

func parseDevice(d *specs.LinuxDevice) device {
	n := device{Path: path.Clean(d.Path), Type: unix.S_IFCHR, Major: d.Major, Minor: d.Minor, Mode: 0o666}
	switch d.Type {
	case "b":
		n.Type = unix.S_IFBLK
	case "p":
		n.Type, n.Major, n.Minor = unix.S_IFIFO, 0, 0
	}
	if d.FileMode != nil {
		n.Mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		n.UID = *d.UID
	}
	if d.GID != nil {
		n.GID = *d.GID
	}
	return n
}
