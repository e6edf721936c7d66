package netdev

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Address is one address of a device as the kernel describes it: a struct ifaddrmsg and its
// attributes, without the name and the index of the device. It is not parsed any further, so
// attributes of newer kernels are kept, too.
type Address []byte

// addressFlags are the flags of an address that users set. The others show its state (tentative,
// deprecated), or depend on neighbouring addresses (secondary).
const addressFlags = unix.IFA_F_NODAD | unix.IFA_F_OPTIMISTIC | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR |
	unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

func (a Address) family() byte { return a[0] }
func (a Address) scope() byte  { return a[3] }

// flags returns the address's flags (IFA_F_*), of which the structure only has room for the first
// eight.
func (a Address) flags() uint32 {
	flags := uint32(a[2])
	for kind, value := range attributes(a[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_FLAGS {
			flags = word(value)
		}
	}
	return flags
}

// persistent reports whether a container gets the address: it must be permanent, and of global
// scope.
func (a Address) persistent() bool {
	return a.flags()&unix.IFA_F_PERMANENT != 0 && a.scope() == unix.RT_SCOPE_UNIVERSE
}

// temporary reports whether the kernel has generated the address for IPv6's privacy extensions, and
// will generate another one.
func (a Address) temporary() bool {
	return a.family() == unix.AF_INET6 && a.flags()&unix.IFA_F_TEMPORARY != 0
}

// addresses returns the addresses of a device, of all families, in the order in which they must be
// added to have the same effect: the kernel puts an IPv6 address before the existing ones, all
// others after them.
func (s *socket) addresses(index uint32) ([]Address, error) {
	const tries = 100 // of reading a list that keeps changing
	for try := 1; ; try++ {
		var list []Address
		r := newRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
		err := s.exchange(r, func(m syscall.NetlinkMessage) {
			if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(m.Data[4:]) != index {
				return
			}
			a := Address(slices.Clone(m.Data))
			if a.family() == unix.AF_INET6 {
				list = slices.Insert(list, 0, a)
			} else {
				list = append(list, a)
			}
		})
		if !errors.Is(err, errIncomplete) || try == tries {
			return list, err
		}
	}
}

// address adds to a device an address that it had before, under the name from. An existing one is
// changed.
func (s *socket) address(index uint32, a Address, from, to string) error {
	if len(a) < unix.SizeofIfAddrmsg {
		return errors.New("malformed address")
	}
	fixed := slices.Clone(a[:unix.SizeofIfAddrmsg])
	fixed[2] = 0
	binary.NativeEndian.PutUint32(fixed[4:], index)
	r := newRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, fixed)
	for kind, value := range attributes(a[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_FLAGS:
		case unix.IFA_LABEL: // "eth0", or "eth0:1"
			if rest, ok := strings.CutPrefix(text(value), from); ok && len(to+rest) < unix.IFNAMSIZ {
				r.addString(kind, to+rest)
			}
		default:
			r.add(kind, value)
		}
	}
	r.addUint32(unix.IFA_FLAGS, a.flags()&addressFlags)
	return s.do(r)
}
