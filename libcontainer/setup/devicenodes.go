package setup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// DeviceNodes are nodes that the runtime makes for a process in a user namespace, where none can be made and none works on a file system
// of that namespace's.
type DeviceNodes struct{ Nodes []DeviceNode }

// A DeviceNode is one of them. Its name is its index.
type DeviceNode struct {
	Mode     uint32 // with the type, S_IFCHR or S_IFBLK
	Device   int    // as of mknod(2)
	UID, GID uint32 // the runtime's numbers
}

// NodesTree is a detached mount of the file system that has the nodes.
const NodesTree nsenter.FD = "device nodes"

// outside returns a device's node as the runtime sees it.
func (d *device) outside(field string, users *IDMap) (DeviceNode, error) {
	uid, ok := outsideID(users.UIDs, d.UID)
	if !ok {
		return DeviceNode{}, unmapped(field+".uid", d.UID)
	}
	gid, ok := outsideID(users.GIDs, d.GID)
	if !ok {
		return DeviceNode{}, unmapped(field+".gid", d.GID)
	}
	return DeviceNode{d.Type | d.Mode, int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))), uid, gid}, nil
}

func unmapped(field string, id uint32) error {
	return specconv.Fault{Path: field, Problem: fmt.Sprintf("%d is not mapped in the container's user namespace", id)}
}

// outsideID returns the runtime's number of an id of the container's.
func outsideID(list []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	for _, m := range list {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// placeNodes attaches the nodes' file system on top of the root, where no path of the plan's leads, since the kernel copies attached mounts
// only. The mount namespace is the container's own.
type placeNodes struct{ Nodes *DeviceNodes }

func (placeNodes) Verb() string { return "place" }
func (placeNodes) phase() phase { return phaseDevices }

func (p placeNodes) String() string {
	return "place the device nodes that the runtime has made: " + strconv.Itoa(len(p.Nodes.Nodes))
}

func (p placeNodes) Needs() []Descriptor { return []Descriptor{{Name: NodesTree, Nodes: p.Nodes}} }

func (placeNodes) lower(l *lowering) {
	l.nodes = l.keep()
	l.prog.Set(l.nodes, NodesTree)
	l.move(l.nodes, l.root)
}

// removeNodes detaches that file system. What was bound of it stays.
type removeNodes struct{}

func (removeNodes) Verb() string        { return "remove" }
func (removeNodes) String() string      { return "remove the file system of the device nodes" }
func (removeNodes) Needs() []Descriptor { return nil }
func (removeNodes) phase() phase        { return phaseDevices }

func (removeNodes) lower(l *lowering) { l.detach(l.nodes) }

// detach appends what unmounts a mount that the plan has attached, by its descriptor.
func (l *lowering) detach(mount nsenter.Reg) {
	cwd := l.openCwd()
	l.call(unix.SYS_FCHDIR, mount)
	l.host(unix.SYS_UMOUNT2, ".", l.str("."), nsenter.Int(unix.MNT_DETACH))
	l.call(unix.SYS_FCHDIR, cwd)
}

// openCwd appends what opens the working directory, to return to.
func (l *lowering) openCwd() nsenter.Reg {
	cwd := l.fd()
	l.host(unix.SYS_OPENAT, ".", nsenter.Int(unix.AT_FDCWD), l.str("."), nsenter.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC),
		nsenter.Int(0)).Result(cwd)
	return cwd
}
