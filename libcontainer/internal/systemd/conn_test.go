package systemd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/orlop/orlop/tests/hang"
)

// A fake is a scripted systemd, or a bus in front of it: answer gets each call and may send any
// messages.
type fake struct {
	t    *testing.T
	conn net.Conn
}

// serve listens at a socket and calls answer for each call on the first connection. It returns the
// socket's path.
func serve(t *testing.T, answer func(*fake, *dbus.Message)) string {
	t.Helper()
	return listen(t, func(c net.Conn) {
		f := &fake{t: t, conn: c}
		r, err := greet(c)
		if err != nil {
			t.Error(err)
			return
		}
		for {
			m, err := dbus.DecodeMessage(r)
			if err != nil {
				return
			}
			answer(f, m)
		}
	})
}

// greet is the server's part of the authentication. Like systemd, it reads nothing more until it
// has answered BEGIN, and a signal may arrive with the answer.
func greet(c net.Conn) (*bufio.Reader, error) {
	r := bufio.NewReader(c)
	if begin, err := r.ReadByte(); err != nil || begin != 0 {
		return r, fmt.Errorf("the first byte is %d: %w", begin, err)
	}
	for _, exchange := range [...]struct{ want, answer string }{
		{"AUTH\r\n", "REJECTED EXTERNAL\r\n"}, {"AUTH EXTERNAL", "DATA\r\n"}, {"DATA\r\n", ""}, {"BEGIN\r\n", "OK 0123\r\n"},
	} {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, exchange.want) {
			return r, fmt.Errorf("greeted with %q: %w", line, err)
		}
		answer := bytes.NewBufferString(exchange.answer)
		if strings.HasPrefix(exchange.answer, "OK") {
			if n := r.Buffered(); n > 0 {
				return r, fmt.Errorf("%d bytes came with %q", n, line)
			}
			if err := removal6.EncodeTo(answer, binary.LittleEndian); err != nil {
				return r, err
			}
		}
		if _, err := c.Write(answer.Bytes()); err != nil {
			return r, err
		}
	}
	return r, nil
}

// removal6 is a signal for another job.
var removal6 = signal(managerInterface, "JobRemoved", uint32(6), dbus.ObjectPath("/job/6"), "y.scope", "failed")

// listen calls do with the first connection to a socket, and returns its path.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			do(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return path
}

func (f *fake) send(m *dbus.Message) {
	if err := m.EncodeTo(f.conn, binary.LittleEndian); err != nil && !errors.Is(err, net.ErrClosed) {
		f.t.Logf("send: %v", err) // the client may have gone
	}
}

// reply answers a call, with an error if errorName is set.
func (f *fake) reply(to *dbus.Message, errorName string, body ...any) {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(to.Serial()),
	}}
	if errorName != "" {
		m.Type = dbus.TypeError
		m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(errorName)
	}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	f.send(m)
}

// bus answers the initial requests to a bus, and reports whether a call was one.
func (f *fake) bus(m *dbus.Message) bool {
	switch member(m) {
	case "Hello":
		f.reply(m, "", ":1.5")
	case "AddMatch":
		f.reply(m, "")
	default:
		return false
	}
	return true
}

func signal(iface, member string, body ...any) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(managerPath)), dbus.FieldInterface: dbus.MakeVariant(iface),
		dbus.FieldMember: dbus.MakeVariant(member), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
	}}
}

func (f *fake) removed(job, result string) {
	f.send(signal(managerInterface, "JobRemoved", uint32(7), dbus.ObjectPath(job), "x.scope", result))
}

func member(m *dbus.Message) string {
	name, _ := m.Headers[dbus.FieldMember].Value().(string)
	return name
}

// meet connects to a fake with short timeouts.
func meet(t *testing.T, path string, broker bool) *Conn {
	t.Helper()
	c, err := dial(endpoint{path: path, broker: broker}, limits{hang.Limit, hang.Limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestJobs: a start waits for the end of its own job, whenever that is reported.
func TestJobs(t *testing.T) {
	u := Unit{Name: "x.scope", Slice: "a.slice"}
	for _, c := range []struct {
		name   string
		answer func(*fake, *dbus.Message)
		want   string
	}{
		{"after others", func(f *fake, m *dbus.Message) {
			f.send(signal("org.freedesktop.DBus", "NameAcquired", ":1.5"))
			f.reply(m, "", dbus.ObjectPath("/job/7"))
			f.removed("/job/6", "failed")
			f.send(signal("org.freedesktop.DBus.Properties", "PropertiesChanged", "x", map[string]dbus.Variant{"A": dbus.MakeVariant(1)}, []string{}))
			f.removed("/job/7", "done")
		}, ""},
		{"before the reply", func(f *fake, m *dbus.Message) {
			f.removed("/job/7", "done")
			f.reply(m, "", dbus.ObjectPath("/job/7"))
		}, ""},
		{"failed", func(f *fake, m *dbus.Message) {
			f.reply(m, "", dbus.ObjectPath("/job/7"))
			f.removed("/job/7", "failed")
		}, `systemd: start x.scope: systemd says "failed" (journalctl --unit=x.scope may tell why)`},
		{"exists", func(f *fake, m *dbus.Message) {
			f.reply(m, unitExists, "Unit x.scope was already loaded or has a fragment file.")
		}, "systemd: start x.scope: unit already exists (Unit x.scope was already loaded or has a fragment file.)"},
		{"error without a text", func(f *fake, m *dbus.Message) { f.reply(m, "a.b.C") }, "systemd: start x.scope: a.b.C"},
		{"closed", func(f *fake, _ *dbus.Message) { f.conn.Close() },
			"systemd: start x.scope: StartTransientUnit: the connection was closed"},
		{"another answer", func(f *fake, m *dbus.Message) { f.reply(m, "", "text") },
			`systemd: start x.scope: StartTransientUnit: the answer is of type "s"`},
		{"no D-Bus", func(f *fake, _ *dbus.Message) {
			f.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n"))
			f.conn.Close()
		}, "systemd: start x.scope: StartTransientUnit: the connection was closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := meet(t, serve(t, c.answer), false).Start(u, BaseProperties(u, "", 1, true))
			if got := text(err); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if errors.Is(err, ErrExist) != (c.name == "exists") {
				t.Errorf("ErrExist: %v", err)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestThroughTheBus: before the call, the bus is asked to deliver the signals of jobs.
func TestThroughTheBus(t *testing.T) {
	calls := make(chan string, 9)
	path := serve(t, func(f *fake, m *dbus.Message) {
		calls <- member(m)
		if destination := m.Headers[dbus.FieldDestination].Value(); (destination == managerName) != (member(m) == "StopUnit") {
			t.Errorf("%s goes to %v", member(m), destination)
		}
		if !f.bus(m) {
			f.reply(m, "", dbus.ObjectPath("/job/7"))
			f.removed("/job/7", "done")
		}
	})
	if err := meet(t, path, true).Stop("x.scope"); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"Hello", "AddMatch", "StopUnit"} {
		if got := <-calls; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	refused := serve(t, func(f *fake, m *dbus.Message) { f.reply(m, "org.freedesktop.DBus.Error.LimitsExceeded", "too many") })
	if _, err := dial(endpoint{path: refused, broker: true}, limits{hang.Limit, hang.Limit}); text(err) != "too many" {
		t.Errorf("refused: %v", err)
	}
}

// TestStopOfNothing: stopping a missing unit is no error.
func TestStopOfNothing(t *testing.T) {
	path := serve(t, func(f *fake, m *dbus.Message) { f.reply(m, noSuchUnit, "Unit x.scope not loaded.") })
	if err := meet(t, path, false).Stop("x.scope"); err != nil {
		t.Error(err)
	}
}

// TestOptionalProperties: those that systemd refuses are left out, one by one; others are an error.
func TestOptionalProperties(t *testing.T) {
	var seen [][]string
	path := serve(t, func(f *fake, m *dbus.Message) {
		var names []string
		for _, p := range m.Body[2].([][]any) {
			names = append(names, p[0].(string))
		}
		seen = append(seen, names)
		for _, name := range names {
			if name == "CPUWeight" || name == "AllowedCPUs" {
				f.reply(m, readOnlyProperty, "Cannot set property "+name+", or unknown property.")
				return
			}
		}
		f.reply(m, invalidArguments, "Value of Wrong is invalid")
	})
	optional := func(name string) Property { return Property{Name: name, Value: dbus.MakeVariant(true), Optional: true} }
	err := meet(t, path, false).Set("x.scope", []Property{
		optional("StartupCPUWeight"), optional("CPUWeight"), {Name: "Wrong", Value: dbus.MakeVariant(true)}, optional("AllowedCPUs"),
	})
	if text(err) != "systemd: set properties of x.scope: Value of Wrong is invalid" {
		t.Errorf("error: %v", err)
	}
	want := "[StartupCPUWeight CPUWeight Wrong AllowedCPUs] [StartupCPUWeight Wrong AllowedCPUs] [StartupCPUWeight Wrong]"
	got := ""
	for _, names := range seen {
		got += " [" + strings.Join(names, " ") + "]"
	}
	if got != " "+want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestControlGroup(t *testing.T) {
	for _, c := range []struct {
		body any
		want string
	}{
		{dbus.MakeVariant(""), ""},
		{dbus.MakeVariant("/user.slice/user-1000.slice/user@1000.service/"), "/user.slice/user-1000.slice/user@1000.service"},
		{dbus.MakeVariant(uint32(7)), `systemd: read ControlGroup of the manager: it is of type "u"`},
	} {
		path := serve(t, func(f *fake, m *dbus.Message) { f.reply(m, "", c.body) })
		got, err := meet(t, path, false).ControlGroup()
		if got+text(err) != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}

// TestClosed: when systemd closes the connection, the request is repeated.
func TestClosed(t *testing.T) {
	for times := range 4 {
		path := filepath.Join(t.TempDir(), "bus")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(systemAddress, "unix:path="+path)
		go func() {
			for n := 0; ; n++ {
				c, err := l.Accept()
				if err != nil {
					return
				}
				f := &fake{t: t, conn: c}
				r, err := greet(c)
				for called := false; err == nil && !called; {
					var m *dbus.Message
					if m, err = dbus.DecodeMessage(r); err != nil || f.bus(m) {
						continue
					}
					if called = true; n >= times {
						f.reply(m, noSuchUnit)
					}
				}
				if err != nil {
					t.Error(err)
				}
				c.Close()
			}
		}()
		tried := 0
		err = Do(System, nil, func(c *Conn, again bool) error {
			if again != (tried > 0) {
				t.Errorf("again is %v after %d", again, tried)
			}
			tried++
			return c.Stop("x.scope")
		})
		if err != nil || tried != times+1 {
			t.Errorf("closed %d times: tried %d times: %v", times, tried, err)
		}
		l.Close()
	}
}

func TestHasProcess(t *testing.T) {
	path := serve(t, func(f *fake, m *dbus.Message) {
		unit := "x"
		if member(m) == "GetUnitByPID" && m.Body[0] == uint32(8) {
			unit = "y"
		}
		f.reply(m, "", dbus.ObjectPath("/unit/"+unit))
	})
	c := meet(t, path, false)
	for pid, want := range map[int]bool{7: true, 8: false} {
		if got, err := c.HasProcess("x.scope", pid); got != want || err != nil {
			t.Errorf("%d: got %v, %v", pid, got, err)
		}
	}
}

// TestHung: a missing answer of any kind is an error after the timeout.
func TestHung(t *testing.T) {
	// Answers that do come must keep this.
	const limit = 2 * time.Second
	call := func(c net.Conn) *dbus.Message {
		r, err := greet(c)
		if err != nil {
			t.Error(err)
			return nil
		}
		m, err := dbus.DecodeMessage(r)
		if err != nil {
			t.Error(err)
		}
		return m
	}
	for _, c := range []struct {
		name string
		do   func(net.Conn)
		want string
	}{
		{"at the greeting", func(net.Conn) {}, "authenticate: no answer within 2s"},
		{"in the greeting", func(c net.Conn) { c.Write([]byte("REJ")) }, "authenticate: no answer within 2s"},
		{"at the call", func(c net.Conn) { call(c) }, "systemd: stop x: StopUnit: no answer within 2s"},
		{"in the answer", func(c net.Conn) {
			call(c)
			c.Write([]byte("l\x02\x00\x01\xff\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00abc"))
		}, "systemd: stop x: StopUnit: no answer within 2s"},
		{"at the job", func(c net.Conn) {
			if m := call(c); m != nil {
				(&fake{t: t, conn: c}).reply(m, "", dbus.ObjectPath("/job/1"))
			}
		}, "systemd: stop x: StopUnit: the job did not finish: no answer within 4s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := listen(t, func(conn net.Conn) {
				c.do(conn)
				io.Copy(io.Discard, conn)
			})
			began := time.Now()
			conn, err := dial(endpoint{path: path}, limits{limit, 2 * limit})
			if err == nil {
				err = conn.Stop("x")
				conn.Close()
			}
			if text(err) != c.want || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if took := time.Since(began); took > hang.Limit {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestFullQueue: a socket without an accepting process queues only a limited number of connections.
func TestFullQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var waiting []net.Conn
	defer func() {
		for _, c := range waiting {
			c.Close()
		}
	}()
	for range 1 << 16 {
		d := net.Dialer{Timeout: 50 * time.Millisecond}
		c, err := d.Dial("unix", path)
		if err != nil {
			break
		}
		waiting = append(waiting, c)
	}
	if _, err := dial(endpoint{path: path}, limits{50 * time.Millisecond, hang.Limit}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d wait; got %v", len(waiting), err)
	}
}

// TestCallersBus: root in an ordinary user's namespace has that user's systemd, by its ID on the
// host.
func TestCallersBus(t *testing.T) {
	for _, c := range []struct {
		euid    int
		foreign bool
		want    Bus
	}{{0, false, System}, {1000, false, User}, {0, true, User}, {1000, true, User}} {
		if got := callersBus(c.euid, c.foreign); got != c.want {
			t.Errorf("user %d, a directory of another user %v: %s, want %s", c.euid, c.foreign, got, c.want)
		}
	}
	const podmans = "         0       1000          1\n         1     100000      65536\n"
	for id, want := range map[int]int{0: 1000, 1: 100000, 5: 100004, 65537: 65537} {
		if got := hostID(id, podmans); got != want {
			t.Errorf("user %d is %d, want %d", id, got, want)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		bus  Bus
		env  map[string]string
		want string
	}{
		{System, nil, "/run/systemd/private, /run/dbus/system_bus_socket (bus)"},
		{System, map[string]string{systemAddress: "unix:path=/a%20b,guid=1;unix:guid=2,abstract=c;tcp:host=h"},
			`/a b (bus), @c (bus), $DBUS_SYSTEM_BUS_ADDRESS: "tcp:host=h": must be unix:path=PATH or unix:abstract=NAME`},
		{System, map[string]string{systemAddress: "unix:dir=/x;unix:path=%4;unix:path=%zz"},
			`$DBUS_SYSTEM_BUS_ADDRESS: "unix:dir=/x": must have a path, $DBUS_SYSTEM_BUS_ADDRESS: "unix:path=%4": %4 is not a character, ` +
				`$DBUS_SYSTEM_BUS_ADDRESS: "unix:path=%zz": %zz is not a character`},
		{User, map[string]string{"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/systemd/private, /run/user/7/bus (bus)"},
		{User, map[string]string{"XDG_RUNTIME_DIR": "/x", userAddress: "unix:path=/y"}, "/x/systemd/private, /y (bus)"},
	} {
		var got []string
		for _, p := range endpoints(c.bus, func(name string) string { return c.env[name] }) {
			switch {
			case p.err != nil:
				got = append(got, p.err.Error())
			case p.broker:
				got = append(got, p.path+" (bus)")
			default:
				got = append(got, p.path)
			}
		}
		if joined := strings.Join(got, ", "); joined != c.want {
			t.Errorf("%s, %v:\ngot  %s\nwant %s", c.bus, c.env, joined, c.want)
		}
	}
}

// TestDial: the error when nothing can be reached, and the fallback to another socket.
func TestDial(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(systemAddress, "unix:path="+dir+"/none;unix:path="+dir+"/neither")
	_, err := Dial(System)
	want := "systemd is not available: connect to " + dir + "/none: no such file or directory\nconnect to " + dir + "/neither: no such file or directory"
	if text(err) != want || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	path := serve(t, func(f *fake, m *dbus.Message) { f.bus(m) })
	t.Setenv(systemAddress, "unix:path="+dir+"/none;unix:path="+path)
	c, err := Dial(System)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
