// Package netdev lends network devices to a container: linux.netDevices of config.json.
//
//	Look    finds a device and remembers how it is; nothing is changed
//	Move    moves it into the container's network namespace
//	Settle  gives it its name and addresses there, and brings it up
//	Return  undoes all that, wherever it stopped
//
// The kernel keeps a device's MTU, hardware address, queues and the like when it changes its namespace, and takes away its name where that is
// in use, its addresses, its routes and its being up.
package netdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrSame means that the container shares the runtime's network namespace, so that there is nowhere to move a device to.
var ErrSame = errors.New("the container is in the runtime's own network namespace")

// ErrTaken means that the container's network namespace has a device of that name already.
var ErrTaken = errors.New("the container's network namespace has a device with this name already")

// A Border lies between the runtime's network namespace and a container's.
type Border struct {
	host, container     *socket
	hostFile, otherFile *os.File
}

// Open opens the border between the calling thread's network namespace and another one, whose file stays the caller's. It needs
// CAP_SYS_ADMIN there, and the other methods need CAP_NET_ADMIN in both. The error is ErrSame when they are the same.
func Open(namespace *os.File) (_ *Border, err error) {
	b := &Border{otherFile: namespace}
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

// Close closes the border. Devices stay where they are.
func (b *Border) Close() {
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

// socketIn makes a socket in a network namespace, on a thread that enters it and goes back to its own one. If it cannot, it ends.
func socketIn(namespace, own *os.File) (s *socket, err error) {
	done := make(chan struct{})
	var enter func()
	enter = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Not the main thread, which cannot end, and stands for the process in /proc. While it is locked, another goroutine gets another one.
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

// A Loan is a device that a container gets, and what must be known to return it.
type Loan struct {
	Host string `json:"host"` // its name in the runtime's network namespace
	Name string `json:"name"` // its name in the container's; with %d in it the kernel finds a free one
	// Transit is the name that it has after its move, before it is settled: nothing else is called so.
	Transit string `json:"transit"`
	// HostIndex is its number in the runtime's network namespace, and Index the one in the container's, 0 before the move.
	HostIndex uint32 `json:"hostIndex"`
	Index     uint32 `json:"index"`
	// Up, Master and Addresses are what it had in the runtime's network namespace.
	Up        bool      `json:"up"`
	Master    uint32    `json:"master"`
	Addresses []Address `json:"addresses"`
}

// Look finds a device by its name in the runtime's network namespace, and makes sure that the name it is to have in the container's is
// free there: the error is ErrTaken otherwise. Nothing is changed.
func (b *Border) Look(host, name string) (*Loan, error) {
	device, err := b.host.named(host)
	if err != nil {
		return nil, operation(err, "find the device")
	}
	l := &Loan{Host: device.name, Name: name, HostIndex: device.index, Up: device.up, Master: device.master}
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
	// Not by crypto/rand, which every start of the program would pay for.
	var random [5]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, os.NewSyscallError("getrandom", err)
	}
	l.Transit = fmt.Sprintf("orlop%x", random)
	return l, nil
}

// Move moves a device into the container's network namespace.
//
// It has a name of its own there at first, since the kernel may move a device and then not give it a name which is taken, and does not say
// which one it has found for a template.
func (b *Border) Move(l *Loan) error {
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

// Settle gives a device that was moved its name, its addresses, as far as they are permanent and of global scope, and brings it up.
func (b *Border) Settle(l *Loan) error {
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
			return operation(err, "give it its address in the container")
		}
	}
	return operation(b.container.setUp(l.Index), "bring it up in the container")
}

// lent finds a device in the container's network namespace. One with no number there may have been moved all the same.
func (b *Border) lent(l *Loan) (link, error) {
	if l.Index == 0 {
		return b.container.named(l.Transit)
	}
	return b.container.numbered(l.Index)
}

// Return brings a device back to the runtime's network namespace, to its old name, master and addresses, and up if it was. Routes are not
// restored, but for those that addresses bring with them. One that was never moved stays as it is, and one that a Return has moved back
// already, which was interrupted, gets the rest. What fails does not keep what is left from being done.
func (b *Border) Return(l *Loan) error {
	device, err := b.lent(l)
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
