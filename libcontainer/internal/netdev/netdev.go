// Package netdev moves network devices to a container's network namespace and back:
// linux.netDevices of config.json.
//
//	Inspect    finds a device and records its state; nothing is changed
//	Move       moves it into the container's network namespace
//	Configure  sets its name and addresses there, and brings it up
//	Return     undoes all that, wherever it stopped
//
// When a device changes its namespace, the kernel keeps its MTU, hardware address, queues and the
// like. It changes the name if that is in use, removes the addresses and routes, and brings the
// device down.
package netdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrSame means that the container shares the runtime's network namespace, so a device cannot be
// moved.
var ErrSame = errors.New("the container is in the runtime's own network namespace")

// ErrTaken means that the container's network namespace already has a device of that name.
var ErrTaken = errors.New("the container's network namespace already has a device with this name")

// A Transfer moves devices between the runtime's network namespace and a container's.
type Transfer struct {
	host, container     *socket
	hostFile, otherFile *os.File
}

// Open opens a transfer between the calling thread's network namespace and another one, whose file
// the caller keeps. It needs CAP_SYS_ADMIN there, and the other methods need CAP_NET_ADMIN in both.
// The error is ErrSame if both are the same.
func Open(namespace *os.File) (_ *Transfer, err error) {
	b := &Transfer{otherFile: namespace}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if b.hostFile, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, err
	}
	here, err := b.hostFile.Stat()
	if err != nil {
		return nil, err
	}
	there, err := namespace.Stat()
	if err != nil {
		return nil, err
	}
	if os.SameFile(here, there) {
		return nil, ErrSame
	}
	if b.host, err = newSocket(); err != nil {
		return nil, err
	}
	b.container, err = socketIn(namespace, b.hostFile)
	return b, err
}

// Close closes the transfer. Devices stay where they are.
func (b *Transfer) Close() {
	if b.host != nil {
		b.host.close()
	}
	if b.container != nil {
		b.container.close()
	}
	if b.hostFile != nil {
		b.hostFile.Close()
	}
}

// socketIn makes a socket in a network namespace, on a thread that enters it and returns to its own
// one. A thread that cannot return exits.
func socketIn(namespace, own *os.File) (s *socket, err error) {
	done := make(chan struct{})
	var enter func()
	enter = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Not the main thread, which cannot exit, and represents the process in /proc. While it
			// is locked, another goroutine gets another one.
			go enter()
			<-done
			runtime.UnlockOSThread()
			return
		}
		defer close(done)
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter the container's network namespace: setns: %w", err)
			return
		}
		s, err = newSocket()
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}
	go enter()
	<-done
	return s, err
}

// A Device is a device for a container, and what must be known to return it.
type Device struct {
	Host string `json:"host"` // its name in the runtime's network namespace
	// Name is its name in the container's. The kernel replaces a %d in it by a free number.
	Name string `json:"name"`
	// Transit is its unique name between Move and Configure.
	Transit string `json:"transit"`
	// HostIndex is its index in the runtime's network namespace, and Index the one in the
	// container's, 0 before the move.
	HostIndex uint32 `json:"hostIndex"`
	Index     uint32 `json:"index"`
	// Up, Master and Addresses are its state in the runtime's network namespace.
	Up        bool      `json:"up"`
	Master    uint32    `json:"master"`
	Addresses []Address `json:"addresses"`
}

// Inspect finds a device by its name in the runtime's network namespace, and checks that its name
// in the container's is free: the error is ErrTaken otherwise. Nothing is changed.
func (b *Transfer) Inspect(host, name string) (*Device, error) {
	device, err := b.host.named(host)
	if err != nil {
		return nil, operation(err, "find the device")
	}
	l := &Device{Host: device.name, Name: name, HostIndex: device.index, Up: device.up, Master: device.master}
	if !strings.Contains(name, "%") {
		if _, err := b.container.named(name); err == nil {
			return nil, fmt.Errorf("%s: %w", name, ErrTaken)
		} else if !missing(err) {
			return nil, operation(err, "look for %s in the container", name)
		}
	}
	if l.Addresses, err = b.host.addresses(device.index); err != nil {
		return nil, operation(err, "read its addresses")
	}
	// Not by crypto/rand, which would slow down every start of the program.
	var random [5]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, os.NewSyscallError("getrandom", err)
	}
	l.Transit = fmt.Sprintf("orlop%x", random)
	return l, nil
}

// Move moves a device into the container's network namespace.
//
// It has a unique name there at first, since the kernel may move a device and then refuse a name
// that is taken, and does not report which name it has chosen for a template.
func (b *Transfer) Move(l *Device) error {
	if err := b.host.move(l.HostIndex, int(b.otherFile.Fd()), l.Transit); err != nil {
		return operation(err, "move the device to the container's network namespace")
	}
	device, err := b.container.named(l.Transit)
	if err != nil {
		return operation(err, "find the device in the container")
	}
	l.Index = device.index
	return nil
}

// Configure sets the name of a device that was moved, and its permanent addresses of global scope,
// and brings it up.
func (b *Transfer) Configure(l *Device) error {
	if err := b.container.rename(l.Index, l.Name); errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: %w", l.Name, ErrTaken)
	} else if err != nil {
		return operation(err, "name it %s in the container", l.Name)
	}
	device, err := b.container.numbered(l.Index)
	if err != nil {
		return operation(err, "find the device in the container")
	}
	for _, a := range l.Addresses {
		if !a.persistent() {
			continue
		}
		if err := b.container.address(l.Index, a, l.Host, device.name); err != nil {
			return operation(err, "set its address in the container")
		}
	}
	return operation(b.container.setUp(l.Index), "bring it up in the container")
}

// moved finds a device in the container's network namespace. One without an index there may have
// been moved nevertheless.
func (b *Transfer) moved(l *Device) (link, error) {
	if l.Index == 0 {
		return b.container.named(l.Transit)
	}
	return b.container.numbered(l.Index)
}

// Return moves a device back to the runtime's network namespace, and restores its name, master and
// addresses, and brings it up if it was up. It does not restore routes, except for those that come
// with addresses. A device that was never moved stays as it is, and one that an interrupted Return
// has already moved back gets the rest. A failure does not prevent the remaining steps.
func (b *Transfer) Return(l *Device) error {
	device, err := b.moved(l)
	switch {
	case err == nil:
		if err := b.container.move(device.index, int(b.hostFile.Fd()), l.Host); err != nil {
			return operation(err, "return the device")
		}
	case !missing(err):
		return operation(err, "return the device: find it in the container")
	case l.Index == 0:
		_, err := b.host.numbered(l.HostIndex)
		return operation(err, "return the device: find it")
	}
	if device, err = b.host.named(l.Host); err != nil {
		return operation(err, "return the device: find it")
	}
	var errs []error
	if l.Master != 0 {
		errs = append(errs, operation(b.host.enslave(device.index, l.Master), "return the device: join it to its bridge"))
	}
	for _, a := range l.Addresses {
		if !a.temporary() {
			errs = append(errs, operation(b.host.address(device.index, a, l.Host, l.Host), "return the device: restore its address"))
		}
	}
	if l.Up {
		errs = append(errs, operation(b.host.setUp(device.index), "return the device: bring it up"))
	}
	return errors.Join(errs...)
}
