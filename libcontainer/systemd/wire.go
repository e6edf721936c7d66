package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// A message of D-Bus (dbus-specification.html, "Message Format"):
//
//	'l' TYPE FLAGS 1       little-endian, version 1
//	BODY LENGTH, SERIAL    32 bits each
//	FIELDS                 array of (number, variant), to a multiple of 8
//	BODY                   its values, of the types that the signature field has
//
// Each value begins at a multiple of its alignment: the size of a number, 8 for a structure, 4 for what begins with its length, 1 for
// a signature.

// Types of messages.
const (
	methodCall   = 1
	methodReturn = 2
	errorReply   = 3
	signal       = 4
)

// Header fields.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

// message is what is needed of one.
type message struct {
	kind        byte
	path        string
	iface       string
	member      string
	errorName   string
	destination string
	replyTo     uint32
	signature   string
	body        []byte
}

// encode gives the bytes of a method call.
func (m *message) encode(serial uint32) []byte {
	e := encoder{data: []byte{'l', m.kind, 0, 1}}
	e.number32(uint32(len(m.body)))
	e.number32(serial)
	e.array(8, func() {
		for _, f := range [...]struct {
			number      byte
			kind, value string
		}{
			{fieldPath, "o", m.path},
			{fieldInterface, "s", m.iface},
			{fieldMember, "s", m.member},
			{fieldDestination, "s", m.destination},
			{fieldSignature, "g", m.signature},
		} {
			if f.value == "" {
				continue
			}
			e.align(8)
			e.data = append(e.data, f.number)
			e.signature(f.kind)
			if f.kind == "g" {
				e.signature(f.value)
			} else {
				e.text(f.value)
			}
		}
	})
	e.align(8)
	return append(e.data, m.body...)
}

// headerSize is how much of a message tells how long it is; maxMessage is the longest that D-Bus allows.
const (
	headerSize = 16
	maxMessage = 128 << 20
)

// messageSize gives the length of the message with this beginning: of its header, and in all.
func messageSize(begin []byte) (header, all int, err error) {
	if begin[0] != 'l' || begin[3] != 1 {
		return 0, 0, fmt.Errorf("a message begins with %q", begin[:4])
	}
	body, fields := int64(binary.LittleEndian.Uint32(begin[4:])), int64(binary.LittleEndian.Uint32(begin[12:]))
	header64 := (headerSize + fields + 7) &^ 7
	if header64+body > maxMessage {
		return 0, 0, fmt.Errorf("a message is of %d bytes", header64+body)
	}
	return int(header64), int(header64 + body), nil
}

// parseMessage is the inverse of encode, for messages of all types. header is what messageSize gave.
func parseMessage(data []byte, header int) (*message, error) {
	m := &message{kind: data[1], body: data[header:]}
	d := decoder{data: data[:header], at: 12}
	end := d.number32()
	for end += headerSize; d.err == nil && d.at < int(end); {
		d.align(8)
		number := d.byte()
		switch sig := d.signature(); sig {
		case "s", "o":
			m.set(number, d.text())
		case "g":
			m.set(number, d.signature())
		case "u":
			n := d.number32()
			if number == fieldReplySerial {
				m.replyTo = n
			}
		default:
			return nil, fmt.Errorf("header field %d is of type %q", number, sig)
		}
	}
	if d.err != nil {
		return nil, fmt.Errorf("header: %w", d.err)
	}
	return m, nil
}

func (m *message) set(field byte, value string) {
	switch field {
	case fieldPath:
		m.path = value
	case fieldInterface:
		m.iface = value
	case fieldMember:
		m.member = value
	case fieldErrorName:
		m.errorName = value
	case fieldDestination:
		m.destination = value
	case fieldSignature:
		m.signature = value
	}
}

// Error is what systemd, or the bus, answers when it does not do something.
type Error struct {
	Name    string // "org.freedesktop.systemd1.NoSuchUnit"; of a job its result, "failed"
	Message string // for people
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// asError gives the error that a message is; nil when it is none.
func (m *message) asError() error {
	if m.kind != errorReply {
		return nil
	}
	e := &Error{Name: m.errorName}
	if strings.HasPrefix(m.signature, "s") {
		d := decoder{data: m.body}
		e.Message = d.text()
	}
	return e
}

// encoder puts values one after the other. The data begins at a multiple of 8.
type encoder struct{ data []byte }

func (e *encoder) align(n int) {
	for len(e.data)%n != 0 {
		e.data = append(e.data, 0)
	}
}

func (e *encoder) number16(n uint16) {
	e.align(2)
	e.data = binary.LittleEndian.AppendUint16(e.data, n)
}

func (e *encoder) number32(n uint32) {
	e.align(4)
	e.data = binary.LittleEndian.AppendUint32(e.data, n)
}

func (e *encoder) number64(n uint64) {
	e.align(8)
	e.data = binary.LittleEndian.AppendUint64(e.data, n)
}

func (e *encoder) text(s string) {
	e.number32(uint32(len(s)))
	e.data = append(append(e.data, s...), 0)
}

func (e *encoder) signature(s string) {
	e.data = append(append(append(e.data, byte(len(s))), s...), 0)
}

func (e *encoder) flag(b bool) {
	if b {
		e.number32(1)
		return
	}
	e.number32(0)
}

// array puts the length of what put puts before it. Its elements are aligned like this.
func (e *encoder) array(alignment int, put func()) {
	e.number32(0)
	length := len(e.data) - 4
	e.align(alignment)
	begin := len(e.data)
	put()
	binary.LittleEndian.PutUint32(e.data[length:], uint32(len(e.data)-begin))
}

func (e *encoder) properties(list []Property) {
	e.array(8, func() {
		for _, p := range list {
			e.align(8)
			e.text(p.Name)
			e.signature(p.Value.Type)
			e.value(p.Value)
		}
	})
}

// value puts a value of a valid type.
func (e *encoder) value(v Value) {
	switch data := v.data.(type) {
	case bool:
		e.flag(data)
	case string:
		e.text(data)
	case uint64:
		switch v.Type {
		case "y":
			e.data = append(e.data, byte(data))
		case "n", "q":
			e.number16(uint16(data))
		case "i", "u":
			e.number32(uint32(data))
		default:
			e.number64(data)
		}
	case float64:
		e.number64(math.Float64bits(data))
	case []Value:
		elements := func() {
			for _, element := range data {
				e.value(element)
			}
		}
		if v.Type[0] == '(' {
			e.align(8)
			elements()
			return
		}
		e.array(alignmentOf(v.Type[1:]), elements)
	}
}

// alignmentOf gives the alignment of values of a type.
func alignmentOf(sig string) int {
	switch sig[0] {
	case 'y':
		return 1
	case 'n', 'q':
		return 2
	case 'x', 't', 'd', '(':
		return 8
	}
	return 4
}

var errShort = errors.New("it ends too early")

// decoder takes values one after the other. The first error stays, and then all values are empty.
type decoder struct {
	data []byte
	at   int
	err  error
}

// take takes n bytes.
func (d *decoder) take(n uint32) []byte {
	if d.err != nil || int64(n) > int64(len(d.data)-d.at) {
		if d.err == nil {
			d.err = errShort
		}
		return nil
	}
	taken := d.data[d.at : d.at+int(n)]
	d.at += int(n)
	return taken
}

func (d *decoder) align(n int) { d.take(uint32(-d.at & (n - 1))) }

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) number32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) text() string {
	s := string(d.take(d.number32()))
	d.take(1)
	return s
}

func (d *decoder) signature() string {
	s := string(d.take(uint32(d.byte())))
	d.take(1)
	return s
}
