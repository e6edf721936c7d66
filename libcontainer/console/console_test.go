package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/console"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

// pty returns both ends of a new pseudoterminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	name, err := SlaveName(master)
	if err != nil {
		t.Fatal(err)
	}
	sfd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	slave = os.NewFile(uintptr(sfd), name)
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *tio
}

// start starts a program with the terminal as its controlling terminal.
func start(t *testing.T, slave *os.File, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// within fails the test when f takes longer than any wait should.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(hang.Limit):
		t.Fatalf("%s hangs", what)
	}
}

func TestSlaveName(t *testing.T) {
	_, slave := pty(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{slave, null} {
		if name, err := SlaveName(f); err == nil {
			t.Errorf("%s has the slave %s", f.Name(), name)
		}
	}
	if IsTerminal(null) || !IsTerminal(slave) {
		t.Errorf("terminals: null device %v, terminal %v", IsTerminal(null), IsTerminal(slave))
	}
}

func TestRawIsContainerds(t *testing.T) {
	for _, output := range []bool{true, false} {
		_, a := pty(t)
		_, b := pty(t)
		if _, err := makeRaw(int(a.Fd()), output); err != nil {
			t.Fatal(err)
		}
		c, err := containerd.ConsoleFromFile(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetRaw(); err != nil {
			t.Fatal(err)
		}
		x, y := termios(t, a), termios(t, b)
		if output {
			y.Oflag &^= unix.OPOST // see makeRaw
		}
		if x != y {
			t.Errorf("output %v: raw mode\n%+v, not\n%+v", output, x, y)
		}
	}
}

// All of a terminal's output has arrived when Finish returns, however much it is.
func TestOutputIsDrained(t *testing.T) {
	for range 20 {
		master, slave := pty(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		relay, err := Attach(master, nil, w)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			got <- string(b)
		}()
		// This test holds the slave open, as a process that was left behind would, so no hangup
		// marks the end.
		cmd := start(t, slave, "stty raw; head -c 300000 /dev/zero | tr '\\0' x; printf end")
		within(t, "program", func() { _ = cmd.Wait() })
		within(t, "finish", func() {
			if err := relay.Finish(); err != nil {
				t.Error(err)
			}
		})
		_ = w.Close()
		if out := <-got; len(out) != 300003 || !strings.HasSuffix(out, "xend") {
			t.Fatalf("%d bytes of output", len(out))
		}
		_ = r.Close()
		if err := relay.Finish(); err != nil {
			t.Errorf("second finish: %v", err)
		}
		_, _ = master.Close(), slave.Close()
	}
}

// The relay ends by itself when the last process has closed the terminal.
func TestDone(t *testing.T) {
	master, slave := pty(t)
	relay, err := Attach(master, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Finish()
	select {
	case <-relay.Done():
		t.Error("done at once")
	default:
	}
	_ = slave.Close()
	within(t, "output", func() { <-relay.Done() })
}

// A terminal as caller: it is raw while attached, the container gets its size and keys, and its
// mode is restored.
func TestTerminal(t *testing.T) {
	master, slave := pty(t)
	keys, tty := pty(t)
	setSize(t, keys, unix.Winsize{Row: 33, Col: 99})
	before := termios(t, tty)
	fds := openDescriptors(t)
	relay, err := Attach(master, tty, tty)
	if err != nil {
		t.Fatal(err)
	}
	if mode := termios(t, tty); mode.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Errorf("not raw: %#x", mode.Lflag)
	}
	if s, err := GetSize(slave); err != nil || *s != (unix.Winsize{Row: 33, Col: 99}) {
		t.Errorf("size %v, %v", s, err)
	}
	cmd := start(t, slave, `stty -echo
		trap 'stty size; exit 5' INT; trap 'echo size $(stty size)' WINCH
		echo ready; read line; echo "got $line"; while :; do read line; done`)
	screen := &expecter{t: t, f: keys}
	screen.expect("ready\r\n")
	screen.send("hello\r")
	screen.expect("got hello\r\n")
	// The caller's terminal changes its size; a real one's shell gets the signal from the kernel.
	setSize(t, keys, unix.Winsize{Row: 44, Col: 88})
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	screen.expect("size 44 88\r\n")
	// Ctrl-C is a key for the container's terminal.
	screen.send("\x03")
	screen.expect("44 88\r\n")
	within(t, "program", func() { _ = cmd.Wait() })
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit status %d", code)
	}
	within(t, "finish", func() { _ = relay.Finish() })
	if after := termios(t, tty); !reflect.DeepEqual(after, before) {
		t.Errorf("mode after\n%+v, before\n%+v", after, before)
	}
	if n := openDescriptors(t); n > fds {
		t.Errorf("%d descriptors before, %d after", fds, n)
	}
}

type expecter struct {
	t   *testing.T
	f   *os.File
	got string
}

func (e *expecter) send(s string) {
	if _, err := e.f.WriteString(s); err != nil {
		e.t.Fatal(err)
	}
}

// expect waits until s has been shown, and discards everything up to it.
func (e *expecter) expect(s string) {
	e.t.Helper()
	within(e.t, fmt.Sprintf("waiting for %q after %q", s, e.got), func() {
		buf := make([]byte, 4096)
		for !strings.Contains(e.got, s) {
			n, err := e.f.Read(buf)
			if err != nil {
				e.t.Errorf("waiting for %q after %q: %v", s, e.got, err)
				return
			}
			e.got += string(buf[:n])
		}
		_, e.got, _ = strings.Cut(e.got, s)
	})
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The end of stdin ends only the input; input that the container does not read blocks only the
// input.
func TestInput(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	silent, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	defer w.Close()
	for name, stdin := range map[string]*os.File{"empty": null, "endless": zero, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			master, slave := pty(t)
			out, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			if _, err := makeRaw(int(slave.Fd()), true); err != nil {
				t.Fatal(err)
			}
			relay, err := Attach(master, stdin, out)
			if err != nil {
				t.Fatal(err)
			}
			cmd := start(t, slave, "echo output")
			within(t, "program", func() { _ = cmd.Wait() })
			within(t, "finish", func() {
				if err := relay.Finish(); err != nil {
					t.Error(err)
				}
			})
			if b, err := os.ReadFile(out.Name()); err != nil || string(b) != "output\n" {
				t.Errorf("output %q, %v", b, err)
			}
		})
	}
}

// When stdout fails, the container's output is still read, and the failure is reported at the end.
func TestStdoutFails(t *testing.T) {
	master, slave := pty(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	relay, err := Attach(master, nil, w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := start(t, slave, "head -c 300000 /dev/zero")
	within(t, "program", func() { _ = cmd.Wait() })
	within(t, "finish", func() {
		if err := relay.Finish(); !errors.Is(err, unix.EPIPE) {
			t.Errorf("finish: %v", err)
		}
	})
}

// A stdout that is slow, and that another process has made non-blocking, gets everything.
func TestNonBlockingStdout(t *testing.T) {
	master, slave := pty(t)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	relay, err := Attach(master, nil, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	cmd := start(t, slave, "stty raw; head -c 300000 /dev/zero")
	total := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, r)
		total <- n
	}()
	within(t, "program", func() { _ = cmd.Wait() })
	within(t, "finish", func() {
		if err := relay.Finish(); err != nil {
			t.Error(err)
		}
	})
	_ = w.Close()
	if n := <-total; n != 300000 {
		t.Errorf("%d bytes", n)
	}
}

// setSize sets the size of a terminal. Unlike f.Fd it keeps a non-blocking descriptor so.
func setSize(t *testing.T, f *os.File, size unix.Winsize) {
	t.Helper()
	c, err := f.SyscallConn()
	if err == nil {
		closed := c.Control(func(fd uintptr) { err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size) })
		err = errors.Join(closed, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
