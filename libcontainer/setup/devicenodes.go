package setup

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// DeviceNodes are nodes that the runtime makes for a process in a user namespace. There the kernel
// refuses mknod, and nodes on a filesystem of that namespace do not work.
type DeviceNodes struct{ Nodes []DeviceNode }

// A DeviceNode is one of DeviceNodes. Its name is its index.
type DeviceNode struct {
	Mode     uint32 // with the type, S_IFCHR or S_IFBLK
	Device   int    // as of mknod(2)
	UID, GID uint32 // in the runtime's user namespace
}

// NodesTree is a detached mount of the filesystem with the nodes.
const NodesTree nsenter.FD = "device nodes"

// outside returns a device's node as the runtime sees it.
func (d *device) outside(field string, users *IDMap) (DeviceNode, error) {
	uid, ok := specconv.HostID(users.UIDs, d.UID)
	if !ok {
		return DeviceNode{}, unmapped(field+".uid", d.UID)
	}
	gid, ok := specconv.HostID(users.GIDs, d.GID)
	if !ok {
		return DeviceNode{}, unmapped(field+".gid", d.GID)
	}
	return DeviceNode{d.Type | d.Mode, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))), uid, gid}, nil
}

func unmapped(field string, id uint32) error {
	return specconv.Invalid(field, fmt.Sprintf("%d is not mapped in the container's user namespace", id))
}

// attachNodes attaches the filesystem with the nodes on top of the root, since the kernel only
// copies attached mounts. No path of the plan leads there, and the mount namespace is the
// container's own.
type attachNodes struct{ Nodes *DeviceNodes }

func (attachNodes) kind() kind { return kind{phaseDevices, "attach", ""} }

func (p attachNodes) String() string {
	return "attach the device nodes that the runtime has made: " + strconv.Itoa(len(p.Nodes.Nodes))
}

func (p attachNodes) Needs() []Descriptor { return []Descriptor{{Name: NodesTree, Nodes: p.Nodes}} }

func (attachNodes) lower(l *lowering) {
	l.nodes = l.keep()
	l.prog.Set(l.nodes, NodesTree)
	l.move(l.nodes, l.root)
}

// removeNodes detaches that filesystem. Nodes that were bound from it stay.
type removeNodes struct{}

func (removeNodes) kind() kind {
	return kind{phaseDevices, "remove", "remove the filesystem of the device nodes"}
}

func (removeNodes) lower(l *lowering) { l.detach(l.nodes) }

// detach emits the unmounting, by its descriptor, of a mount that the plan has attached.
func (l *lowering) detach(mount nsenter.Reg) {
	cwd := l.openCwd()
	l.call(unix.SYS_FCHDIR, mount)
	l.host(unix.SYS_UMOUNT2, ".", l.str("."), nsenter.Int(unix.MNT_DETACH))
	l.call(unix.SYS_FCHDIR, cwd)
}

// openCwd emits the opening of the working directory, to return to it.
func (l *lowering) openCwd() nsenter.Reg {
	cwd := l.fd()
	l.hostOpen(".", openDir).Result(cwd)
	return cwd
}
