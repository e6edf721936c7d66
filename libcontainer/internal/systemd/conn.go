package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/timeout"
)

// Conn is a connection to systemd, for one goroutine at a time. After an error other than *Error it
// cannot be used any more.
type Conn struct {
	socket  net.Conn
	bus     *dbus.Conn
	manager dbus.BusObject
	limits  limits
	signals chan *dbus.Signal // closed with the connection
}

// Dial connects to systemd: directly to its private socket, which only the owner of that systemd
// may use, and otherwise through the bus. DBUS_SYSTEM_BUS_ADDRESS, if set, is the system bus, and
// the only address tried. The error is ErrUnavailable if none can be reached.
func Dial(b Bus) (*Conn, error) {
	var errs []error
	for _, at := range endpoints(b, os.Getenv) {
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
			break // the other addresses lead to the same systemd
		}
	}
	if _, err := os.Stat(booted); b == System && errors.Is(err, unix.ENOENT) && os.Getenv(systemAddress) == "" {
		return nil, fmt.Errorf("%w: it is not this host's init (there is no %s)", ErrUnavailable, booted)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(errs...))
}

// Close closes the connection.
func (c *Conn) Close() {
	_ = c.bus.Close() // fails if the other side was quicker
}

func dial(at endpoint, limits limits) (*Conn, error) {
	socket, err := connect(at.path, limits.answer)
	if err != nil {
		return nil, err
	}
	bus, err := dbus.NewConn(newStream(socket), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		socket.Close()
		return nil, err
	}
	c := &Conn{socket: socket, bus: bus, manager: bus.Object(managerName, managerPath), limits: limits, signals: make(chan *dbus.Signal, 1)}
	bus.Signal(c.signals)
	if err := c.greet(at.broker); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect connects to a socket. Package net does not wait while the queue of connections is full;
// the kernel does.
func connect(path string, limit time.Duration) (net.Conn, error) {
	fd, err := sys.UnixSocket(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := sys.SetSendTimeout(fd, limit); err != nil {
		return nil, err
	}
	if err := sys.Connect(fd, path); err == unix.EAGAIN {
		return nil, noAnswer(limit)
	} else if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// greet authenticates and prepares the connection for calls.
func (c *Conn) greet(broker bool) error {
	limit := c.limits.answer
	if err := c.socket.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	// The user's ID on the host, which the other side compares with the socket's.
	if err := c.bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(UserID()))}); err != nil {
		return fmt.Errorf("authenticate: %w", c.cause(err, limit))
	}
	if broker {
		if err := c.bus.Hello(); err != nil {
			return c.cause(err, limit)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := c.bus.AddMatchSignalContext(ctx, dbus.WithMatchSender(managerName), dbus.WithMatchInterface(managerInterface), dbus.WithMatchMember("JobRemoved"))
		if err != nil {
			return c.cause(err, limit)
		}
	}
	return c.socket.SetDeadline(time.Time{})
}

// cause converts an error of the library after a wait with this limit.
func (c *Conn) cause(err error, limit time.Duration) error {
	if refused := (dbus.Error{}); errors.As(err, &refused) {
		return &Error{refused.Name, refused.Error()}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return noAnswer(limit)
	case errors.Is(err, dbus.ErrClosed), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.Canceled), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return ErrClosed
	}
	return err
}

// call makes a method call on the manager. If that is refused, the error is an *Error.
func (c *Conn) call(iface, member string, args ...any) (*dbus.Call, error) {
	limit := c.limits.answer
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := c.socket.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return nil, fmt.Errorf("%s: %w", member, c.cause(err, limit))
	}
	call := c.manager.CallWithContext(ctx, iface+"."+member, 0, args...)
	if call.Err == nil {
		return call, nil
	}
	err := c.cause(call.Err, limit)
	if refusal(err) == "" {
		err = fmt.Errorf("%s: %w", member, err)
	}
	return nil, err
}

// object makes a call whose answer is the path of an object.
func (c *Conn) object(member string, args ...any) (dbus.ObjectPath, error) {
	call, err := c.call(managerInterface, member, args...)
	if err != nil {
		return "", err
	}
	if len(call.Body) == 1 {
		if path, ok := call.Body[0].(dbus.ObjectPath); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: the answer is of type %q", member, dbus.SignatureOf(call.Body...))
}

// job makes a call that starts a job, and waits for the end of the job.
func (c *Conn) job(member string, args ...any) error {
	path, err := c.object(member, args...)
	if err != nil {
		return err
	}
	limit := time.NewTimer(c.limits.job)
	defer limit.Stop()
	for {
		select {
		case s, open := <-c.signals:
			if !open {
				return fmt.Errorf("%s: %w", member, ErrClosed)
			}
			var id uint32
			var job dbus.ObjectPath
			var unit, result string
			if s.Name != managerInterface+".JobRemoved" || dbus.Store(s.Body, &id, &job, &unit, &result) != nil || job != path {
				continue // of another job, or another signal
			}
			if result != "done" {
				return &Error{Name: result, Message: fmt.Sprintf("systemd says %q (journalctl --unit=%s may tell why)", result, unit)}
			}
			return nil
		case <-limit.C:
			return fmt.Errorf("%s: the job did not finish: %w", member, noAnswer(c.limits.job))
		}
	}
}

// Error is an error reply of systemd, or of the bus.
type Error struct {
	Name    string // "org.freedesktop.systemd1.NoSuchUnit"; for a job its result, "failed"
	Message string // for people
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// refusal returns the name of an error reply, "" for any other error.
func refusal(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Name
	}
	return ""
}

func noAnswer(limit time.Duration) error { return timeout.Errorf("no answer within %v", limit) }
