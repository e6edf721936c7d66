package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

func TestSocket(t *testing.T) {
	// Deeper than an address has room for.
	r := Open(filepath.Join(t.TempDir(), strings.Repeat("a/", 70), strings.Repeat("b", 200)))
	d := mustCreate(t, r, strings.Repeat("c", 200))
	probe := func(want Waiter) {
		t.Helper()
		if got, err := d.Probe(); got != want || err != nil {
			t.Errorf("probe: %v, %v, not %v", got, err, want)
		}
	}
	probe(WaiterNone)
	if _, err := d.Connect(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("connect to nothing: %v", err)
	}
	l, err := d.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if flags, err := unix.FcntlInt(l.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
	for range 5 {
		probe(WaiterHere)
	}
	// Probing has not been seen: there is no connection to be accepted.
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.Fd()), Events: unix.POLLIN}}, 0); n != 0 || err != nil {
		t.Errorf("probe left a connection: %d, %v", n, err)
	}
	if _, err := d.Listen(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("second listen: %v", err)
	}
	c, err := d.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, _, err := unix.Accept4(int(l.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	// Records keep their borders.
	for _, s := range []string{"one", "two"} {
		if _, err := unix.Write(conn, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 10)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "one" {
		t.Errorf("read: %q, %v", buf[:n], err)
	}
	_ = unix.Close(conn)
	_ = l.Close()
	probe(WaiterGone)
	if _, err := d.Connect(); !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), d.socketPath()) {
		t.Errorf("connect to nobody: %v", err)
	}
	if err := os.Remove(d.socketPath()); err != nil {
		t.Fatal(err)
	}
	probe(WaiterNone)
	if err := os.WriteFile(d.socketPath(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	probe(WaiterGone)
}

// The holder that counts is another process's, and it goes with its exec.
func TestSocketGoesWithExec(t *testing.T) {
	d := mustCreate(t, testRoot(t), "c")
	l, err := d.Listen()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read x && exec 3>&- && echo closed && read x")
	cmd.ExtraFiles = []*os.File{l}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if w, err := d.Probe(); w != WaiterHere || err != nil {
		t.Errorf("with another holder: %v, %v", w, err)
	}
	_, _ = in.Write([]byte("\n"))
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if w, err := d.Probe(); w != WaiterGone || err != nil {
		t.Errorf("after the exec: %v, %v", w, err)
	}
	_ = in.Close()
	_ = cmd.Wait()
}

// This package sleeps for nothing it waits for: of many full cycles, at least one is short.
func TestQuick(t *testing.T) {
	r := testRoot(t)
	shortest := hang.Limit
	for range 100 {
		begin := time.Now()
		d, err := r.Create("c")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Write(&Record{ID: "c"}), d.Remove()); err != nil {
			t.Fatal(err)
		}
		shortest = min(shortest, time.Since(begin))
	}
	if shortest > 20*time.Millisecond {
		t.Errorf("%v for a directory's life", shortest)
	}
}
