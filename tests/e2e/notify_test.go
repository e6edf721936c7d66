package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// A serviceManager is a service manager's socket, like systemd's.
type serviceManager struct {
	t       *testing.T
	fd      int
	address string
}

func newServiceManager(t *testing.T, address string) *serviceManager {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: address}))
	if address[0] == '/' {
		must(t, os.Chmod(address, 0o777)) // like systemd's
	}
	return &serviceManager{t, fd, address}
}

// next reads a message and releases the sender of a barrier.
func (m *serviceManager) next() string {
	m.t.Helper()
	must(m.t, unix.SetsockoptTimeval(m.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}))
	buffer, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, ctl, _, _, err := unix.Recvmsg(m.fd, buffer, control, unix.MSG_CMSG_CLOEXEC)
	must(m.t, err)
	if messages, err := unix.ParseSocketControlMessage(control[:ctl]); err == nil && len(messages) == 1 {
		if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
			unix.Close(fds[0])
		}
	}
	return string(buffer[:n])
}

// nothing fails the test if there is a message.
func (m *serviceManager) nothing() {
	m.t.Helper()
	buffer := make([]byte, 4096)
	if n, _, err := unix.Recvfrom(m.fd, buffer, unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
		m.t.Errorf("the service manager was told %q, %v", buffer[:max(n, 0)], err)
	}
}

func (m *serviceManager) expect(want ...string) {
	m.t.Helper()
	for _, w := range want {
		if got := m.next(); got != w {
			m.t.Errorf("the service manager was told %q, want %q", got, w)
		}
	}
	m.nothing()
}

// notifies makes a box whose program sends its lines to the socket. busybox's program for that is
// logger, whose socket is always /dev/log.
func notifies(t *testing.T, changes ...func(*specs.Spec)) *harness.Box {
	b := harness.New(t, changes...)
	b.Spec.Process.Args = []string{"sh", "-c", `trap 'exit 3' TERM
say() { logger -t x "$(printf 'STATUS=%s\n%s' "$1" "$2")"; }
ln -s "$NOTIFY_SOCKET" /dev/log && [ -S /dev/log ] && echo "up $NOTIFY_SOCKET"; touch /run/notify/x 2>/dev/null && echo writable
while read -r line; do say "$line" "$line"; echo "said $?"; done
while :; do sleep 1000 & wait; done`}
	for i := range b.Spec.Mounts {
		if b.Spec.Mounts[i].Destination == "/dev" {
			b.Spec.Mounts[i].Options = []string{"nosuid", "mode=777"}
		}
	}
	b.Write()
	return b
}

const inContainer = "up /run/notify/notify.sock"

// talk starts a command with streams that it passes to the container.
func talk(t *testing.T, b *harness.Box, env []string, args ...string) (p *harness.Process, said *harness.Lines, say func(string)) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { w.Close() })
	c, out := b.Cmd(args...), b.Lines()
	c.Env, c.Stdout, c.Stdin = env, out.Writer, r
	p = c.Start()
	out.Writer.Close()
	r.Close()
	return p, out, func(line string) {
		_, err := fmt.Fprintln(w, line)
		must(t, err)
	}
}

func TestNotifyStart(t *testing.T) {
	harness.OrlopOnly(t, "runc tells the number in a message of its own")
	for name, change := range map[string]func(*specs.Spec){
		"root": nop,
		"user": func(s *specs.Spec) { s.Process.User.UID = 1000 },
		"user namespace": func(s *specs.Spec) {
			withUser(shifted())(s)
			s.Process.User.UID = 1000
		},
		"ordinary user": nop,
	} {
		t.Run(name, func(t *testing.T) {
			b := notifies(t, change)
			own(t, b, 100000)
			if name == "ordinary user" {
				asOrdinary(t, b)
			}
			m := newServiceManager(t, filepath.Join(b.Dir, "manager"))
			env := []string{"NOTIFY_SOCKET=" + m.address}
			p, said, say := talk(t, b, env, "create", "--bundle", b.Bundle, b.ID)
			p.Wait().OK(b)
			pid := b.State().Pid
			start := b.Cmd("start", b.ID)
			start.Env = env
			p = start.Start()
			if got := said.Next(); got != inContainer {
				t.Fatalf("the container says %q", got)
			}
			b.Status("running") // start waits, and nobody waits for start
			say("MAINPID=1")
			said.Next()
			m.nothing()
			say("READY=1")
			m.expect(fmt.Sprintf("MAINPID=%d\nREADY=1", pid), "BARRIER=1")
			p.Wait().OK(b)
			if got := said.Next(); got != "said 0" {
				t.Errorf("the container says %q", got)
			}
			b.OK("delete", "--force", b.ID)
			b.CheckClean()
		})
	}
}

func TestNotifyRun(t *testing.T) {
	harness.OrlopOnly(t, "runc tells the number in a message of its own")
	b := notifies(t)
	m := newServiceManager(t, fmt.Sprintf("@orlop-e2e-%d", os.Getpid()))
	env := []string{"NOTIFY_SOCKET=" + m.address}
	t.Run("foreground", func(t *testing.T) {
		p, said, say := talk(t, b, env, "run", "--bundle", b.Bundle, b.ID)
		said.Next()
		for range 2 {
			say("READY=1")
			m.expect(fmt.Sprintf("MAINPID=%d\nREADY=1", p.Pid), "BARRIER=1")
			said.Next()
		}
		for range 20 { // more than the socket's queue holds
			say("STATUS=well")
			said.Next()
		}
		m.nothing()
		p.Signal(unix.SIGTERM)
		p.Wait().Exits(b, 3)
		b.CheckClean()
	})
	t.Run("detached", func(t *testing.T) {
		p, said, say := talk(t, b, env, "run", "--detach", "--bundle", b.Bundle, b.ID)
		said.Next()
		say("READY=1")
		m.expect(fmt.Sprintf("MAINPID=%d\nREADY=1", b.State().Pid), "BARRIER=1")
		p.Wait().OK(b)
		b.OK("delete", "--force", b.ID)
	})
	t.Run("ends before", func(t *testing.T) {
		p, said, _ := talk(t, b, env, "run", "--detach", "--bundle", b.Bundle, b.ID)
		said.Next()
		b.OK("kill", b.ID, "KILL")
		p.Wait().OK(b)
		m.nothing()
		b.OK("delete", b.ID)
	})
}

// TestNotifyNot: cases without a notification, or with another path for it.
func TestNotifyNot(t *testing.T) {
	harness.OrlopOnly(t, "runc does otherwise")
	t.Run("none", func(t *testing.T) {
		b := harness.New(t)
		if got := b.Sh(`echo "$NOTIFY_SOCKET"; ls /run`); got != "\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("of the configuration", func(t *testing.T) {
		b := harness.New(t, harness.Sh(`echo "$NOTIFY_SOCKET"; ls /run`))
		b.Spec.Process.Env = append(b.Spec.Process.Env, "NOTIFY_SOCKET=/own")
		b.Write()
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Env = []string{"NOTIFY_SOCKET=/no/such/socket"}
		if got := c.Run().OK(b); got != "/own\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("not for exec", func(t *testing.T) {
		b := notifies(t)
		env := []string{"NOTIFY_SOCKET=" + filepath.Join(b.Dir, "manager")}
		p, _, _ := talk(t, b, env, "create", "--bundle", b.Bundle, b.ID)
		p.Wait().OK(b)
		if got := b.OK("exec", b.ID, "sh", "-c", `echo "$NOTIFY_SOCKET"`); got != "\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("start alone", func(t *testing.T) {
		b := harness.New(t)
		b.Create()
		c := b.Cmd("start", b.ID)
		c.Env = []string{"NOTIFY_SOCKET=/no/such/socket"}
		if r := c.Run(); r.Status != 0 || !strings.Contains(r.Stderr, "NOTIFY_SOCKET: the container was created without it") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no mount namespace", func(t *testing.T) {
		b := harness.New(t, withoutMounts, harness.Sh(`echo "$NOTIFY_SOCKET"`))
		c := b.Cmd("run", "--bundle", b.Bundle, b.ID)
		c.Env = []string{"NOTIFY_SOCKET=/no/such/socket"}
		if r := c.Run(); r.Status != 0 || r.Stdout != "\n" || !strings.Contains(r.Stderr, "NOTIFY_SOCKET: a container without a mount namespace") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("deaf", func(t *testing.T) {
		b := notifies(t)
		address := filepath.Join(b.Dir, "manager")
		p, said, say := talk(t, b, []string{"NOTIFY_SOCKET=" + address}, "run", "--detach", "--bundle", b.Bundle, b.ID)
		said.Next()
		say("READY=1")
		if r := p.Wait(); r.Status != 0 || !strings.Contains(r.Stderr, "NOTIFY_SOCKET: open "+address+": no such file or directory") {
			t.Errorf("%+v", r)
		}
		b.Status("running")
	})
}

// TestNotifyKilled: a start that is killed while it waits leaves the container unchanged, and its
// program gets an error because nobody listens.
func TestNotifyKilled(t *testing.T) {
	harness.OrlopOnly(t, "of our own design")
	b := notifies(t)
	env := []string{"NOTIFY_SOCKET=" + filepath.Join(b.Dir, "manager")}
	p, said, say := talk(t, b, env, "create", "--bundle", b.Bundle, b.ID)
	p.Wait().OK(b)
	start := b.Cmd("start", b.ID)
	start.Env = env
	p = start.Start()
	said.Next()
	p.Signal(unix.SIGKILL)
	p.Wait().Exits(b, 137)
	say("READY=1")
	said.Next()
	b.Status("running")
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}
