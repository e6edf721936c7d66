package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/netdev"
	"github.com/orlop/orlop/libcontainer/state"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// A lending is the network devices of a container that is being made (linux.netDevices). Until the container is complete they are the
// runtime's to return; then they are the network namespace's, and the runtime never touches them again, as the specification demands: when the
// namespace goes, the kernel returns those that are hardware and removes the others.
type lending struct {
	namespace *os.File // which a failed process must not take with it
	border    *netdev.Transfer
	loans     []*netdev.Device
}

// lend moves the devices into the network namespace of the container's process. None is moved before all were looked at, and none before
// the record tells of it.
func (c *creation) lend() (err error) {
	l := &lending{}
	c.lending = l
	if l.namespace, err = os.Open("/proc/" + strconv.Itoa(c.process.Pid()) + "/ns/net"); err != nil {
		return &specconv.FieldError{Path: "linux.netDevices", Err: err}
	}
	if l.border, err = netdev.Open(l.namespace); err != nil {
		return &specconv.FieldError{Path: "linux.netDevices", Err: err}
	}
	var loans []*netdev.Device
	for _, d := range c.bundle.NetDevices {
		loan, err := l.border.Inspect(d.Host, d.Name)
		if err != nil {
			return deviceError(d.Host, err)
		}
		loans = append(loans, loan)
	}
	l.loans = loans
	for _, do := range []func(*netdev.Device) error{l.border.Move, l.border.Configure} {
		// Once more after the move, which gives each a number in the container.
		if err := c.recordLoans(); err != nil {
			return err
		}
		for _, loan := range loans {
			if err := do(loan); err != nil {
				return deviceError(loan.Host, err)
			}
		}
	}
	return nil
}

func deviceError(host string, err error) error {
	return &specconv.FieldError{Path: jsonpath.Member("linux.netDevices", host), Err: err}
}

// recordLoans writes down what delete must return if this program is killed.
func (c *creation) recordLoans() error {
	devices, err := json.Marshal(c.lending.loans)
	if err != nil {
		return err
	}
	inode, err := inodeOf(c.lending.namespace)
	if err != nil {
		return err
	}
	c.rec.Loans = &state.Loans{Namespace: inode, Devices: devices}
	return c.dir.Write(c.rec)
}

// lent records that the devices are the container's. Until its program runs they can still come back.
func (c *creation) lent() error {
	if c.lending == nil {
		return nil
	}
	c.rec.Loans = nil
	return c.dir.Write(c.rec)
}

// done leaves the devices to the container for good. The lending may be nil.
func (l *lending) done() {
	if l != nil {
		l.loans = nil
	}
}

// undo returns all devices. The lending may be nil.
func (l *lending) undo() error {
	if l == nil {
		return nil
	}
	var errs []error
	for _, loan := range slices.Backward(l.loans) {
		if err := l.border.Return(loan); err != nil {
			errs = append(errs, deviceError(loan.Host, err))
		}
	}
	return errors.Join(errs...)
}

// close releases what only the lending needs. It may be nil.
func (l *lending) close() {
	if l == nil {
		return
	}
	if l.border != nil {
		l.border.Close()
	}
	if l.namespace != nil {
		l.namespace.Close()
	}
}

// returnDevices returns the devices of a container whose creator was killed, from a network namespace that was joined. One that was made for
// the container has ended with its process, or is about to. What cannot be returned is only warned about: a container that cannot be
// deleted would be of no help.
func (v *view) returnDevices(r *Runtime) {
	if err := v.tryReturn(); err != nil {
		r.warn(err.Error())
	}
}

func (v *view) tryReturn() (err error) {
	recorded := v.rec.Loans
	if recorded == nil {
		return nil
	}
	i := slices.IndexFunc(v.rec.Namespaces, func(n state.Namespace) bool { return n.Type == specs.NetworkNamespace })
	if i < 0 || v.rec.Namespaces[i].Path == "" {
		return nil
	}
	l := &lending{}
	defer l.close()
	if l.namespace, err = os.Open(v.rec.Namespaces[i].Path); err != nil {
		return fmt.Errorf("return network devices: %w", err)
	}
	if inode, err := inodeOf(l.namespace); err != nil || inode != recorded.Namespace {
		return err // the path leads to another one by now
	}
	if err := json.Unmarshal(recorded.Devices, &l.loans); err != nil {
		return fmt.Errorf("return network devices: %w: %w", state.ErrDamaged, err)
	}
	if l.border, err = netdev.Open(l.namespace); err != nil {
		return fmt.Errorf("return network devices: %w", err)
	}
	return l.undo()
}

func inodeOf(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return st.Ino, nil
}
