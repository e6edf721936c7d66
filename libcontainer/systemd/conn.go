package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// Conn is a connection to systemd. It is for one goroutine at a time. After an error that is no *Error it is of no use any more.
type Conn struct {
	fd       int
	broker   bool // a bus lies between; otherwise systemd itself is at the other end
	limits   limits
	serial   uint32
	deadline time.Time // of the call that is made
	received []byte    // and not taken yet
	removed  []removal // jobs that ended since the call was made
}

// A removal says that a job of systemd's is over.
type removal struct{ job, unit, result string }

// Dial connects to systemd: directly where it listens for that, which only the user that it belongs to may, and else through the bus.
// DBUS_SYSTEM_BUS_ADDRESS, when it is set, is the system bus, and tried alone. The error is ErrUnavailable when nothing is to be reached.
func Dial(b Bus) (*Conn, error) {
	var errs []error
	for _, at := range places(b, os.Getenv) {
		if at.err != nil {
			errs = append(errs, at.err)
			continue
		}
		c, err := dial(at, limits{answerLimit, jobLimit})
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("connect to %s: %w", at.path, err))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break // it would be the same systemd
		}
	}
	if _, err := os.Stat(booted); b == System && errors.Is(err, unix.ENOENT) && os.Getenv(systemAddress) == "" {
		return nil, fmt.Errorf("%w: it is not this host's init (there is no %s)", ErrUnavailable, booted)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(errs...))
}

// Close ends the connection.
func (c *Conn) Close() { unix.Close(c.fd) }

func dial(at place, limits limits) (*Conn, error) {
	fd, err := sys.UnixSocket(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	c := &Conn{fd: fd, broker: at.broker, limits: limits, deadline: time.Now().Add(limits.answer)}
	if err := c.open(at.path); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// open connects and greets.
func (c *Conn) open(path string) error {
	// A blocking connect waits while the queue of who wants to is full, and for as long only; poll would not tell.
	limit := unix.NsecToTimeval(int64(c.limits.answer))
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	if err := sys.Connect(c.fd, path); err == unix.EAGAIN {
		return noAnswer(c.limits.answer)
	} else if err != nil {
		return err
	}
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return err
	}
	return c.authenticate()
}

// authenticate does what comes before the first message (dbus-specification.html, "Authentication Protocol"). The other side takes the user's number
// from the socket, so that none has to be named, which would be another one in a user namespace. All is said at
// once: what is answered is known.
func (c *Conn) authenticate() error {
	if err := c.write([]byte("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")); err != nil {
		return err
	}
	for _, want := range [...]string{"DATA", "OK"} {
		line, err := c.line()
		if err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
		if line != want && !strings.HasPrefix(line, want+" ") {
			return fmt.Errorf("authenticate: the answer is %q", line)
		}
	}
	if !c.broker {
		return nil
	}
	// The bus takes messages in order, so that the answers need not be waited for: nothing can be missed.
	if err := c.send("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", nil); err != nil {
		return err
	}
	rule := encoder{}
	rule.text("type='signal',sender='" + managerName + "',interface='" + managerInterface + "',member='JobRemoved'")
	return c.send("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", rule.data)
}

// line takes a line of the greeting.
func (c *Conn) line() (string, error) {
	const most = 1024
	for {
		if line, rest, ok := bytes.Cut(c.received, []byte("\r\n")); ok {
			c.received = rest
			return string(line), nil
		}
		if len(c.received) > most {
			return "", errors.New("the answer does not end")
		}
		if err := c.receive(); err != nil {
			return "", err
		}
	}
}

// send sends a method call.
func (c *Conn) send(destination, path, iface, member, sig string, body []byte) error {
	c.serial++
	m := message{kind: methodCall, path: path, iface: iface, member: member, signature: sig, body: body}
	if c.broker {
		m.destination = destination
	}
	return c.write(m.encode(c.serial))
}

// call makes a method call on the manager, and returns the answer; one that is an error as such.
func (c *Conn) call(iface, member, sig string, body []byte) (*message, error) {
	c.deadline = time.Now().Add(c.limits.answer)
	c.removed = nil
	if err := c.send(managerName, managerPath, iface, member, sig, body); err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	serial := c.serial
	for {
		m, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
		if m.replyTo == serial && (m.kind == methodReturn || m.kind == errorReply) {
			return m, m.asError()
		}
		// The bus refuses what came before, "Hello" perhaps: nothing will come of the call.
		if m.kind == errorReply {
			return nil, m.asError()
		}
	}
}

// job makes a call that begins a job, and waits for the job's end.
func (c *Conn) job(member, sig string, body []byte) error {
	path, err := c.object(member, sig, body)
	if err != nil {
		return err
	}
	c.deadline = time.Now().Add(c.limits.job)
	for {
		for _, r := range c.removed {
			if r.job != path {
				continue
			}
			if r.result == "done" {
				return nil
			}
			return &Error{Name: r.result, Message: fmt.Sprintf("systemd says %q (journalctl --unit=%s may tell why)", r.result, r.unit)}
		}
		c.removed = nil
		if _, err := c.next(); errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%s: systemd has not done it: %w", member, noAnswer(c.limits.job))
		} else if err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
}

// next takes the next message. It notes which jobs are over.
func (c *Conn) next() (*message, error) {
	if err := c.fill(headerSize); err != nil {
		return nil, err
	}
	header, all, err := messageSize(c.received)
	if err != nil {
		return nil, err
	}
	if err := c.fill(all); err != nil {
		return nil, err
	}
	m, err := parseMessage(c.received[:all:all], header)
	c.received = c.received[all:]
	if err != nil {
		return nil, err
	}
	if m.kind == signal && m.iface == managerInterface && m.member == "JobRemoved" && m.signature == "uoss" {
		d := decoder{data: m.body}
		d.number32()
		r := removal{job: d.text()}
		r.unit = d.text()
		r.result = d.text()
		if d.err != nil {
			return nil, fmt.Errorf("JobRemoved: %w", d.err)
		}
		c.removed = append(c.removed, r)
	}
	return m, nil
}

// fill receives until there are n bytes.
func (c *Conn) fill(n int) error {
	for len(c.received) < n {
		if err := c.receive(); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what has come, at least one byte.
func (c *Conn) receive() error {
	var buf [4096]byte
	for {
		n, err := sys.Retry(func() (int, error) { return unix.Read(c.fd, buf[:]) })
		switch {
		case n > 0:
			c.received = append(c.received, buf[:n]...)
			return nil
		case err == unix.EAGAIN:
			err = c.wait(unix.POLLIN)
		case err == nil || err == unix.ECONNRESET:
			err = ErrClosed
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) write(data []byte) error {
	for len(data) > 0 {
		n, err := sys.Retry(func() (int, error) { return unix.SendmsgN(c.fd, data, nil, nil, unix.MSG_NOSIGNAL) })
		switch err {
		case unix.EAGAIN:
			err = c.wait(unix.POLLOUT)
		case unix.EPIPE, unix.ECONNRESET:
			err = ErrClosed
		}
		if err != nil {
			return err
		}
		data = data[max(n, 0):]
	}
	return nil
}

// wait waits until the socket is ready, or the deadline has passed.
func (c *Conn) wait(events int16) error {
	ready, err := sys.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: events}}, c.deadline)
	if err == nil && !ready {
		err = noAnswer(c.limits.answer)
	}
	return err
}

func noAnswer(limit time.Duration) error { return timeout.Errorf("no answer within %v", limit) }
