package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// receiver listens on a Unix socket and passes on the one descriptor that is sent there; nil when
// none is.
func receiver(t *testing.T, b *harness.Box) (path string, received <-chan *os.File) {
	t.Helper()
	path = filepath.Join(b.Dir, "socket")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	listener.SetDeadline(time.Now().Add(hang.Limit))
	files := make(chan *os.File, 1)
	go func() {
		defer close(files)
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(hang.Limit))
		name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		n, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
		if err != nil {
			return
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			return
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return
		}
		unix.CloseOnExec(fds[0])
		files <- os.NewFile(uintptr(fds[0]), string(name[:n]))
	}()
	return path, files
}

// master waits for the pseudoterminal's master and makes it a console.
func master(t *testing.T, received <-chan *os.File) (console.Console, *bufio.Reader) {
	t.Helper()
	f := <-received
	if f == nil {
		t.Fatal("no descriptor arrived on the console socket")
	}
	t.Cleanup(func() { f.Close() })
	c, err := console.ConsoleFromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(f)
}

// nextLine reads a line that a terminal prints, without its end.
func nextLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	lines := make(chan string, 1)
	go func() {
		line, _ := r.ReadString('\n')
		lines <- strings.TrimRight(line, "\r\n")
	}()
	select {
	case line := <-lines:
		return line
	case <-time.After(hang.Limit):
		t.Fatal("the terminal prints nothing")
		return ""
	}
}

func terminal(s *specs.Spec) { s.Process.Terminal = true }

func TestConsoleSocket(t *testing.T) {
	b := harness.New(t, terminal, harness.Sh("tty; stty size; echo ready; read line; echo got $line; sleep 1000"))
	b.Spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 101}
	b.Write()
	path, received := receiver(t, b)
	b.OK("create", "--bundle", b.Bundle, "--console-socket", path, b.ID)
	c, out := master(t, received)
	b.OK("start", b.ID)
	for _, want := range []string{"/dev/pts/0", "33 101", "ready"} {
		if got := nextLine(t, out); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := c.Write([]byte("input\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"input", "got input"} { // the first one is the terminal's echo
		if got := nextLine(t, out); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestConsoleIsControlling: ^C reaches the process, /dev/console and /dev/tty are the terminal.
func TestConsoleIsControlling(t *testing.T) {
	b := harness.New(t, terminal, harness.Sh("trap 'echo interrupted; exit 9' INT; echo hello > /dev/tty; echo console > /dev/console; while :; do read line; done"))
	path, received := receiver(t, b)
	b.OK("create", "--bundle", b.Bundle, "--console-socket", path, b.ID)
	c, out := master(t, received)
	pid := b.State().Pid
	b.OK("start", b.ID)
	for _, want := range []string{"hello", "console"} {
		if got := nextLine(t, out); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if _, err := c.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if got := nextLine(t, out); !strings.HasSuffix(got, "interrupted") {
		t.Errorf("got %q", got)
	}
	if status := b.WaitStatus(pid); status != 9 {
		t.Errorf("status %d, want 9", status)
	}
}

func TestConsoleSocketRules(t *testing.T) {
	t.Run("terminal without socket", func(t *testing.T) {
		b := harness.New(t, terminal)
		b.Fails("", "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	})
	t.Run("socket without terminal", func(t *testing.T) {
		b := harness.New(t)
		path, _ := receiver(t, b)
		b.Fails("", "create", "--bundle", b.Bundle, "--console-socket", path, b.ID)
		b.CheckClean()
	})
	t.Run("missing socket", func(t *testing.T) {
		b := harness.New(t, terminal)
		b.Fails("", "create", "--bundle", b.Bundle, "--console-socket", filepath.Join(b.Dir, "none"), b.ID)
		b.CheckClean()
	})
}

// TestExecConsoleSocket: exec with a terminal of its own.
func TestExecConsoleSocket(t *testing.T) {
	b := harness.New(t)
	b.Up()
	path, received := receiver(t, b)
	p := b.Cmd("exec", "--tty", "--detach", "--console-socket", path, b.ID, "sh", "-c", "tty; echo ready; sleep 1000").Start()
	_, out := master(t, received)
	p.Wait().OK(b)
	for _, want := range []string{"/dev/pts/0", "ready"} {
		if got := nextLine(t, out); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// foreground runs a command of the runtime on a pseudoterminal, as a user's shell does.
func foreground(t *testing.T, b *harness.Box, args ...string) (*harness.Process, console.Console, *bufio.Reader) {
	t.Helper()
	c, slavePath, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	slave, err := os.OpenFile(slavePath, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	if err := c.Resize(console.WinSize{Height: 44, Width: 111}); err != nil {
		t.Fatal(err)
	}
	cmd := b.Cmd(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Terminal = slave, slave, slave, true
	return cmd.Start(), c, bufio.NewReader(c)
}

// TestForegroundTerminal: the relay works in both directions, follows the size, and restores the
// terminal.
func TestForegroundTerminal(t *testing.T) {
	for _, kind := range []string{"run", "exec"} {
		t.Run(kind, func(t *testing.T) {
			script := "stty size; echo ready; read line; echo got $line; trap 'stty size; exit 6' WINCH; echo armed; while :; do sleep 1000 & wait; done"
			b := harness.New(t, harness.Sh(script))
			args := []string{"run", "--bundle", b.Bundle, b.ID}
			if kind == "exec" {
				b.Up()
				args = []string{"exec", "--tty", b.ID, "sh", "-c", script}
			} else {
				terminal(b.Spec)
				b.Write()
			}
			p, c, out := foreground(t, b, args...)
			expect := func(want string) {
				t.Helper()
				if got := nextLine(t, out); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if harness.Name() == "runc" {
				nextLine(t, out) // runc sets the size after the start
			} else {
				expect("44 111")
			}
			expect("ready")
			if _, err := c.Write([]byte("words\r")); err != nil {
				t.Fatal(err)
			}
			expect("words")
			expect("got words")
			expect("armed")
			if err := c.Resize(console.WinSize{Height: 55, Width: 122}); err != nil {
				t.Fatal(err)
			}
			expect("55 122")
			if got := p.Wait(); got.Status != 6 {
				t.Errorf("status %d, want 6", got.Status)
			}
		})
	}
}

// TestPlainLines: a foreground terminal writes no carriage returns if its output goes to a file;
// output to a terminal has them.
func TestPlainLines(t *testing.T) {
	const script = "stty -a 2>/dev/null | grep -o -e '-*onlcr'; echo end"
	for _, kind := range []string{"run", "exec"} {
		for _, captured := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, captured %v", kind, captured), func(t *testing.T) {
				b := harness.New(t, harness.Sh(script), terminal)
				args := []string{"run", "--bundle", b.Bundle, b.ID}
				if kind == "exec" {
					b.Up(func(s *specs.Spec) { s.Process.Terminal = false })
					args = []string{"exec", "--tty", b.ID, "sh", "-c", script}
				}
				c, path, err := console.NewPty()
				must(t, err)
				defer c.Close()
				slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
				must(t, err)
				defer slave.Close()
				cmd := b.Cmd(args...)
				cmd.Stdin, cmd.Terminal = slave, true
				if captured {
					if got := cmd.Run().OK(b); got != "-onlcr\nend\n" {
						t.Errorf("got %q", got)
					}
					return
				}
				cmd.Stdout = slave
				cmd.Run().OK(b)
				out := bufio.NewReader(c)
				want := []string{"onlcr\r\n", "end\r\n"}
				if harness.Name() == "runc" {
					want[0] = "-onlcr\r\n" // the caller's terminal adds them
				}
				for _, line := range want {
					if got, err := out.ReadString('\n'); got != line || err != nil {
						t.Errorf("got %q, %v, want %q", got, err, line)
					}
				}
			})
		}
	}
}
