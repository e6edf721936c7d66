package systemd

import (
	"bufio"
	"net"
)

// A stream is the socket of a connection as godbus reads and writes it. It reads with a buffer, and
// sends the end of the authentication early.
//
// godbus sends BEGIN after the answer OK, and then at once its first message. If systemd reads both
// together, it leaves the message in its buffer until more comes, which is never. systemd's own
// clients send BEGIN with what comes before it, wait for OK, and so never get there. So does a stream.
type stream struct {
	net.Conn
	buffer        *bufio.Reader
	begun         bool // BEGIN is sent
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

// Read returns a line at a time while the connection is authenticated: godbus reads those with a
// buffer that it drops afterwards, and messages can come together with OK.
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
