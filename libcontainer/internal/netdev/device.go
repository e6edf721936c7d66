package netdev

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A link is a device as the kernel describes it.
type link struct {
	index  uint32
	name   string
	up     bool
	master uint32 // the bridge or bond that it belongs to, 0 for none
}

// ifinfo returns a struct ifinfomsg. change selects the flags that are set as in flags.
func ifinfo(index, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

// named returns the device with a name or alternative name. The error is ENODEV if there is none.
func (s *socket) named(name string) (link, error) {
	r := newRequest(unix.RTM_GETLINK, 0, ifinfo(0, 0, 0))
	r.addString(unix.IFLA_IFNAME, name)
	return s.get(r)
}

// numbered returns the device with an index. The error is ENODEV if there is none.
func (s *socket) numbered(index uint32) (link, error) {
	return s.get(newRequest(unix.RTM_GETLINK, 0, ifinfo(index, 0, 0)))
}

func (s *socket) get(r request) (l link, err error) {
	err = s.exchange(r, func(m syscall.NetlinkMessage) {
		if described, ok := linkOf(m); ok {
			l = described
		}
	})
	if err == nil && l.index == 0 {
		err = errors.New("netlink: malformed answer")
	}
	return l, err
}

// linkOf returns the device that a message describes, false if it describes none.
func linkOf(m syscall.NetlinkMessage) (l link, ok bool) {
	if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.index = binary.NativeEndian.Uint32(m.Data[4:])
	l.up = binary.NativeEndian.Uint32(m.Data[8:])&unix.IFF_UP != 0
	for kind, value := range attributes(m.Data[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = text(value)
		case unix.IFLA_MASTER:
			l.master = word(value)
		}
	}
	return l, true
}

// set changes a device: change selects the flags (IFF_*) that are set as in flags, and add appends
// attributes.
func (s *socket) set(index, flags, change uint32, add func(*request)) error {
	r := newRequest(unix.RTM_SETLINK, 0, ifinfo(index, flags, change))
	add(&r)
	return s.do(r)
}

func (s *socket) rename(index uint32, name string) error {
	return s.set(index, 0, 0, func(r *request) { r.addString(unix.IFLA_IFNAME, name) })
}

// enslave adds a device to a bridge or bond again.
func (s *socket) enslave(index, master uint32) error {
	return s.set(index, 0, 0, func(r *request) { r.addUint32(unix.IFLA_MASTER, master) })
}

func (s *socket) setUp(index uint32) error {
	return s.set(index, unix.IFF_UP, unix.IFF_UP, func(*request) {})
}

// move moves a device to another network namespace and renames it there; the kernel brings it down
// and removes its addresses. After an error the device may have moved nevertheless, because it is
// renamed last.
func (s *socket) move(index uint32, namespace int, name string) error {
	return s.set(index, 0, 0, func(r *request) {
		r.addUint32(unix.IFLA_NET_NS_FD, uint32(namespace))
		r.addString(unix.IFLA_IFNAME, name)
	})
}

// missing reports whether an error means that there is no such device.
func missing(err error) bool { return errors.Is(err, unix.ENODEV) }
