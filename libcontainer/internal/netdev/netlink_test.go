package netdev

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzAnswer: for any bytes of an answer, the parsed values are in it, and a device, an address or
// a refusal that is encoded is decoded again.
func FuzzAnswer(f *testing.F) {
	f.Add(answer(unix.RTM_NEWLINK, 0, device(7, "eth0", 3)), uint32(7), "eth0", uint32(3))
	f.Add(answer(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, make([]byte, 40)), uint32(1), "", uint32(0))
	f.Add(answer(unix.RTM_NEWADDR, 0, make([]byte, 9)), uint32(0), "a\x00", uint32(1)<<31)
	f.Fuzz(func(t *testing.T, datagram []byte, index uint32, name string, number uint32) {
		messages, err := syscall.ParseNetlinkMessage(datagram)
		if err != nil {
			messages = nil
		}
		for _, m := range messages {
			if l, ok := linkOf(m); ok && !bytes.Contains(m.Data, []byte(l.name)) {
				t.Errorf("the name %q is not in %q", l.name, m.Data)
			}
			if e, ok := refusal(m).(*Error); ok && !bytes.Contains(m.Data, []byte(e.Message)) {
				t.Errorf("the message %q is not in %q", e.Message, m.Data)
			}
			if len(m.Data) >= unix.SizeofIfAddrmsg {
				a := Address(m.Data)
				if a.persistent() && a.flags()&unix.IFA_F_PERMANENT == 0 {
					t.Errorf("flags %#x are persistent", a.flags())
				}
			}
			total := 0
			for kind, value := range attributes(m.Data) {
				total += unix.SizeofRtAttr + len(value)
				if kind > typeMask {
					t.Errorf("kind %#x", kind)
				}
			}
			if total > len(m.Data) {
				t.Errorf("attributes of %d bytes in %d", total, len(m.Data))
			}
		}
		if len(name) > 1<<15 {
			return // an attribute's length has 16 bits
		}
		l, ok := linkOf(first(t, answer(unix.RTM_NEWLINK, 0, device(index, name, number))))
		if want := (link{index: index, name: name, master: number}); !ok || l != want {
			t.Errorf("%+v, want %+v", l, want)
		}
		said := make([]byte, 4+unix.NLMSG_HDRLEN)
		binary.NativeEndian.PutUint32(said, -number)
		r := request(said)
		r.addString(unix.NLMSGERR_ATTR_MSG, name)
		e, ok := refusal(first(t, answer(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, r))).(*Error)
		if ok != (number != 0) || ok && (e.Message != name || uint32(e.Errno) != number && int32(number) > 0) {
			t.Errorf("%#v, want %q", e, name)
		}
		a := request(make([]byte, unix.SizeofIfAddrmsg))
		a.addString(unix.IFA_LABEL, name)
		a.addUint32(unix.IFA_FLAGS, number)
		if got := Address(a).flags(); got != number {
			t.Errorf("flags %#x, want %#x", got, number)
		}
	})
}

// device returns the body of a message that describes a device.
func device(index uint32, name string, master uint32) []byte {
	r := request(ifinfo(index, 0, 0))
	r.addString(unix.IFLA_IFNAME, name)
	r.addUint32(unix.IFLA_MASTER, master)
	return r
}

// answer returns a datagram of one message.
func answer(kind, flags uint16, body []byte) []byte {
	r := newRequest(kind, flags, body)
	binary.NativeEndian.PutUint32(r, uint32(len(r)))
	for len(r)%unix.NLMSG_ALIGNTO != 0 {
		r = append(r, 0)
	}
	return r
}

// first returns the only message of a datagram.
func first(t *testing.T, datagram []byte) syscall.NetlinkMessage {
	t.Helper()
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	return messages[0]
}

// numbered sets a message's sequence number and flags.
func numbered(serial uint32, flags uint16, message []byte) []byte {
	binary.NativeEndian.PutUint16(message[6:], flags)
	binary.NativeEndian.PutUint32(message[8:], serial)
	return message
}

// TestReply: an answer is complete, or an error, even if it has many datagrams, fills the buffer,
// or is interrupted by the kernel.
func TestReply(t *testing.T) {
	const serial, another = 7, 6
	link := func() []byte {
		return numbered(serial, unix.NLM_F_MULTI, answer(unix.RTM_NEWLINK, 0, device(1, "eth0", 0)))
	}
	outcome := func(errno unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno))) }
	done := func(errno unix.Errno, flags uint16) []byte {
		return numbered(serial, unix.NLM_F_MULTI|flags, answer(unix.NLMSG_DONE, 0, outcome(errno)))
	}
	// As much as the buffer holds.
	full := bytes.Repeat(link(), datagram/len(link()))
	inFull := len(full) / len(link())
	for _, tc := range []struct {
		name      string
		datagrams [][]byte
		flags     int // of the last datagram
		asked     uint16
		links     int
		err       string
		more      bool // the answer is not complete yet
	}{
		{name: "one", datagrams: [][]byte{link()}, links: 1},
		{name: "many datagrams", datagrams: [][]byte{full, full, full, done(0, 0)}, asked: unix.NLM_F_DUMP, links: 3 * inFull},
		{name: "the end in the same datagram", datagrams: [][]byte{append(link(), done(0, 0)...)}, asked: unix.NLM_F_DUMP, links: 1},
		{name: "no end yet", datagrams: [][]byte{full, full}, asked: unix.NLM_F_DUMP, links: 2 * inFull, more: true},
		{name: "truncated", datagrams: [][]byte{full}, flags: unix.MSG_TRUNC, asked: unix.NLM_F_DUMP, err: "netlink receive: the kernel's answer is too long"},
		{name: "half a message", datagrams: [][]byte{full[:len(full)-8]}, asked: unix.NLM_F_DUMP, err: "invalid argument"},
		{name: "broken off", datagrams: [][]byte{full, done(unix.EMSGSIZE, 0)}, asked: unix.NLM_F_DUMP, links: inFull, err: "message too long"},
		{name: "changed meanwhile", datagrams: [][]byte{numbered(serial, unix.NLM_F_DUMP_INTR, link())}, asked: unix.NLM_F_DUMP, err: errIncomplete.Error()},
		{name: "changed at the end", datagrams: [][]byte{link(), done(0, unix.NLM_F_DUMP_INTR)}, asked: unix.NLM_F_DUMP, links: 1, err: errIncomplete.Error()},
		{name: "lost", datagrams: [][]byte{numbered(serial, 0, answer(unix.NLMSG_OVERRUN, 0, nil))}, err: "netlink receive: the kernel has lost messages"},
		{name: "refused", datagrams: [][]byte{numbered(serial, 0, answer(unix.NLMSG_ERROR, 0, outcome(unix.EPERM)))}, err: "operation not permitted"},
		{name: "accepted", datagrams: [][]byte{numbered(serial, 0, answer(unix.NLMSG_ERROR, 0, outcome(0)))}, asked: unix.NLM_F_ACK},
		{name: "of another request", datagrams: [][]byte{numbered(another, 0, link()), numbered(another, 0, done(unix.EPERM, 0))}, more: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			links, complete := 0, false
			var err error
			for i, data := range tc.datagrams {
				flags := 0
				if i == len(tc.datagrams)-1 {
					flags = tc.flags
				}
				var messages []syscall.NetlinkMessage
				if messages, err = parse(data, flags); err == nil {
					complete, err = reply(messages, serial, tc.asked, func(syscall.NetlinkMessage) { links++ })
				}
				if (complete || err != nil) && i < len(tc.datagrams)-1 {
					t.Fatalf("it ends with datagram %d: %v", i, err)
				}
			}
			said := ""
			if err != nil {
				said = err.Error()
			}
			if links != tc.links || said != tc.err || err == nil && complete == tc.more {
				t.Errorf("%d links, %q, complete %v; want %d, %q, %v", links, said, complete, tc.links, tc.err, !tc.more)
			}
		})
	}
}
