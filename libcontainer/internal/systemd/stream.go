package systemd

import (
	"bufio"
	"net"
)

// A stream is the socket of a connection for godbus. It reads with a buffer, and sends the end of
// the authentication early.
//
// godbus sends BEGIN after the answer OK, and then immediately its first message. If systemd reads
// both together, it leaves the message in its buffer until more data comes, which never happens.
// systemd's own clients send BEGIN together with the data before it, and then wait for OK, which
// avoids this. A stream does the same.
type stream struct {
	net.Conn
	buffer        *bufio.Reader
	begun         bool // BEGIN has been sent
	authenticated bool // the rest is messages
}

func newStream(c net.Conn) *stream { return &stream{Conn: c, buffer: bufio.NewReader(c)} }

func (s *stream) Write(p []byte) (int, error) {
	if s.authenticated {
		return s.Conn.Write(p)
	}
	switch string(p) {
	case "DATA\r\n":
		s.begun = true
		_, err := s.Conn.Write([]byte("DATA\r\nBEGIN\r\n"))
		return len(p), err
	case "BEGIN\r\n":
		s.authenticated = true
		if s.begun {
			return len(p), nil
		}
	}
	return s.Conn.Write(p)
}

// Read returns one line at a time during the authentication: godbus reads those lines with a buffer
// that it drops afterwards, and messages can arrive together with OK.
func (s *stream) Read(p []byte) (int, error) {
	if s.authenticated {
		return s.buffer.Read(p)
	}
	n := 0
	for n < len(p) {
		c, err := s.buffer.ReadByte()
		if err != nil {
			return n, err
		}
		p[n] = c
		n++
		if c == '\n' {
			break
		}
	}
	return n, nil
}
