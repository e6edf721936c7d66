package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/netdev"
	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// NetDevices are the network devices of a container that is being created (linux.netDevices). They
// are moved when the process is in its network namespace. Until the container is complete, a
// failure returns them with their names, addresses and state. After that they belong to the
// namespace and the runtime never touches them again, as the specification demands: when the
// namespace ends, the kernel returns hardware and removes the others.
type NetDevices struct {
	entry     *Entry
	bundle    *specconv.Bundle
	namespace *os.File // keeps the namespace alive if the process fails
	transfer  *netdev.Transfer
	moved     []*netdev.Device
}

// NewNetDevices returns the devices of a bundle.
func NewNetDevices(e *Entry, b *specconv.Bundle) *NetDevices { return &NetDevices{entry: e, bundle: b} }

// Record implements Resource. Move records the devices once it knows what to return.
func (n *NetDevices) Record(*state.Record) error { return nil }

// Prepare implements Resource. It does nothing, since the process does not exist yet.
func (n *NetDevices) Prepare() error { return nil }

// Move moves the devices into the network namespace of the container's process. It inspects and
// records all of them before it moves the first one.
func (n *NetDevices) Move(pid int) (err error) {
	if n.namespace, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net"); err != nil {
		return &specconv.FieldError{Path: "linux.netDevices", Err: err}
	}
	if n.transfer, err = netdev.Open(n.namespace); err != nil {
		return &specconv.FieldError{Path: "linux.netDevices", Err: err}
	}
	var devices []*netdev.Device
	for _, d := range n.bundle.NetDevices {
		device, err := n.transfer.Inspect(d.Host, d.Name)
		if err != nil {
			return deviceError(d.Host, err)
		}
		devices = append(devices, device)
	}
	n.moved = devices
	for _, do := range []func(*netdev.Device) error{n.transfer.Move, n.transfer.Configure} {
		// Recorded again after the move, which gives each device an index in the container.
		if err := n.record(); err != nil {
			return err
		}
		for _, device := range devices {
			if err := do(device); err != nil {
				return deviceError(device.Host, err)
			}
		}
	}
	return nil
}

func deviceError(host string, err error) error {
	return &specconv.FieldError{Path: jsonpath.Member("linux.netDevices", host), Err: err}
}

// record writes to the record what delete must return if this program is killed.
func (n *NetDevices) record() error {
	devices, err := json.Marshal(n.moved)
	if err != nil {
		return err
	}
	inode, err := inodeOf(n.namespace)
	if err != nil {
		return err
	}
	n.entry.Rec.MovedDevices = &state.MovedDevices{Namespace: inode, Devices: devices}
	return n.entry.Write()
}

// Keep records that the devices belong to the container. Undo can still return them until Done.
func (n *NetDevices) Keep() error {
	n.entry.Rec.MovedDevices = nil
	return n.entry.Write()
}

// Done leaves the devices to the container for good: its program is about to run.
func (n *NetDevices) Done() { n.moved = nil }

// Undo implements Resource. It must be called before the process ends.
func (n *NetDevices) Undo() error {
	var errs []error
	for _, device := range slices.Backward(n.moved) {
		if err := n.transfer.Return(device); err != nil {
			errs = append(errs, deviceError(device.Host, err))
		}
	}
	return errors.Join(errs...)
}

// Release closes the files that only the creation needs.
func (n *NetDevices) Release() {
	if n.transfer != nil {
		n.transfer.Close()
	}
	if n.namespace != nil {
		n.namespace.Close()
	}
}

// ReturnNetDevices returns the devices of a container whose creator was killed from a joined
// network namespace. A namespace that was created for the container ends with its process.
func ReturnNetDevices(rec *state.Record) error {
	ns, ok := rec.Namespace(specs.NetworkNamespace)
	if rec.MovedDevices == nil || !ok || ns.Path == "" {
		return nil
	}
	n := &NetDevices{}
	defer n.Release()
	var err error
	if n.namespace, err = os.Open(ns.Path); err != nil {
		return fmt.Errorf("return network devices: %w", err)
	}
	if inode, err := inodeOf(n.namespace); err != nil || inode != rec.MovedDevices.Namespace {
		return err // the path names another namespace by now
	}
	if err := json.Unmarshal(rec.MovedDevices.Devices, &n.moved); err != nil {
		return fmt.Errorf("return network devices: %w: %w", state.ErrDamaged, err)
	}
	if n.transfer, err = netdev.Open(n.namespace); err != nil {
		return fmt.Errorf("return network devices: %w", err)
	}
	return n.Undo()
}

func inodeOf(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return st.Ino, nil
}
