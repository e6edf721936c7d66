package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socket communicates with the kernel about the devices of one network namespace (rtnetlink(7)):
// the one of its thread when it was made.
type socket struct {
	fd     int
	serial uint32
	buffer []byte
}

// datagram is the maximum size of the kernel's datagrams of a dump, and of the description of one
// device.
const datagram = 32 << 10

func newSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	s := &socket{fd: fd, buffer: make([]byte, datagram)}
	// A refusal then contains the kernel's message, and not the request.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// An Error is the kernel's refusal.
type Error struct {
	Errno   syscall.Errno
	Message string // the kernel's reason, "The interface netns is immutable"; "" without one
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Errno.Error()
	}
	return e.Errno.Error() + ": " + e.Message
}

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Errno }

// A request is a netlink message under construction: its header, the fixed part of its kind,
// attributes.
type request []byte

// newRequest starts a request. fixed is the structure at the start of messages of its kind.
func newRequest(kind uint16, flags uint16, fixed []byte) request {
	r := make(request, unix.NLMSG_HDRLEN, 256)
	binary.NativeEndian.PutUint16(r[4:], kind)
	binary.NativeEndian.PutUint16(r[6:], flags|unix.NLM_F_REQUEST)
	return append(r, fixed...)
}

// add appends an attribute.
func (r *request) add(kind uint16, value []byte) {
	*r = binary.NativeEndian.AppendUint16(*r, uint16(unix.SizeofRtAttr+len(value)))
	*r = binary.NativeEndian.AppendUint16(*r, kind)
	*r = append(*r, value...)
	for len(*r)%unix.NLMSG_ALIGNTO != 0 {
		*r = append(*r, 0)
	}
}

func (r *request) addUint32(kind uint16, value uint32) {
	r.add(kind, binary.NativeEndian.AppendUint32(nil, value))
}

func (r *request) addString(kind uint16, value string) { r.add(kind, append([]byte(value), 0)) }

// do sends a request that changes something, and returns the kernel's error.
func (s *socket) do(r request) error {
	binary.NativeEndian.PutUint16(r[6:], binary.NativeEndian.Uint16(r[6:])|unix.NLM_F_ACK)
	return s.exchange(r, func(syscall.NetlinkMessage) {})
}

// exchange sends a request and passes each message of the answer to each, except for
// acknowledgements and refusals.
func (s *socket) exchange(r request, each func(syscall.NetlinkMessage)) error {
	s.serial++
	binary.NativeEndian.PutUint32(r[0:], uint32(len(r)))
	binary.NativeEndian.PutUint32(r[8:], s.serial)
	if err := unix.Sendto(s.fd, r, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	// The rest of an answer that is not read to its end is skipped by the next request, because its
	// messages have another sequence number.
	asked := binary.NativeEndian.Uint16(r[6:])
	for {
		messages, err := s.receive()
		if err != nil {
			return err
		}
		if done, err := reply(messages, s.serial, asked, each); done || err != nil {
			return err
		}
	}
}

// errIncomplete means that the dumped objects have changed meanwhile, so the list may be
// incomplete.
var errIncomplete = errors.New("the list changed while it was read")

// reply passes on the messages of one datagram that answer a request with the flags asked. done
// means that they are the last ones.
func reply(messages []syscall.NetlinkMessage, serial uint32, asked uint16, each func(syscall.NetlinkMessage)) (done bool, err error) {
	for _, m := range messages {
		if m.Header.Seq != serial {
			continue
		}
		switch m.Header.Type {
		case unix.NLMSG_ERROR:
			return true, refusal(m)
		case unix.NLMSG_OVERRUN:
			return true, errors.New("netlink receive: the kernel has lost messages")
		case unix.NLMSG_DONE:
			if len(m.Data) >= 4 { // the dump's own status; absent in old kernels
				err = refusal(m)
			}
			if err == nil && m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				err = errIncomplete
			}
			return true, err
		}
		if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
			return true, errIncomplete
		}
		each(m)
		if asked&(unix.NLM_F_ACK|unix.NLM_F_DUMP) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// receive returns the messages of one datagram.
func (s *socket) receive() ([]syscall.NetlinkMessage, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(s.fd, s.buffer, nil, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("netlink receive", err)
		}
		// Other processes may send, too.
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		return parse(s.buffer[:n], flags)
	}
}

// parse splits a datagram that was received with these flags. One that did not fit into the buffer
// is an error.
func parse(datagram []byte, flags int) ([]syscall.NetlinkMessage, error) {
	if flags&unix.MSG_TRUNC != 0 {
		return nil, errors.New("netlink receive: the kernel's answer is too long")
	}
	return syscall.ParseNetlinkMessage(datagram)
}

// refusal returns the error of an NLMSG_ERROR, nil for an acknowledgement.
func refusal(m syscall.NetlinkMessage) error {
	if len(m.Data) < 4 {
		return errors.New("netlink: malformed answer")
	}
	code := int32(binary.NativeEndian.Uint32(m.Data))
	if code == 0 {
		return nil
	}
	e := &Error{Errno: syscall.Errno(-code)}
	// The message repeats the request's header, or all of the request if NETLINK_CAP_ACK is not
	// supported.
	rest := m.Data[4:]
	if m.Header.Flags&unix.NLM_F_ACK_TLVS == 0 || len(rest) < unix.NLMSG_HDRLEN {
		return e
	}
	skip := unix.NLMSG_HDRLEN
	if m.Header.Flags&unix.NLM_F_CAPPED == 0 {
		skip = int(binary.NativeEndian.Uint32(rest))
	}
	if skip > len(rest) {
		return e
	}
	for kind, value := range attributes(rest[skip:]) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			e.Message = text(value)
		}
	}
	return e
}

// typeMask removes the flags from an attribute's kind (NLA_TYPE_MASK).
const typeMask = 0x3fff

// attributes iterates over the attributes of a message by their kinds, without the kinds' flags.
func attributes(data []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(data))
			if length < unix.SizeofRtAttr || length > len(data) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(data[2:])&typeMask, data[unix.SizeofRtAttr:length]) {
				return
			}
			data = data[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(data)):]
		}
	}
}

// text returns a string attribute's value, which ends with a NUL byte.
func text(value []byte) string {
	if n := len(value); n > 0 && value[n-1] == 0 {
		value = value[:n-1]
	}
	return string(value)
}

func word(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// operation adds the operation to an error.
func operation(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
