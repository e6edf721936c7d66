package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
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

func TestParseStat(t *testing.T) {
	const tail = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654321 20 21\n"
	for line, want := range map[string]Process{
		"7 (sh) S" + tail:            {"sh", 'S', 1, 987654321},
		"7 (a) Z 1 (b)) Z" + tail:    {"a) Z 1 (b)", 'Z', 1, 987654321},
		"7 (\n) S 1 2 3\n) R" + tail: {"\n) S 1 2 3\n", 'R', 1, 987654321},
		"7 () X" + tail[:50]:         {},
		"7 (a) ":                     {},
		"7 (a":                       {},
		"":                           {},
		"7 (a) S 1 2 3 4":            {},
		"7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -1 2": {},
	} {
		got, err := parseStat([]byte(line))
		if got.StartTime != want.StartTime || want.StartTime != 0 && got != want || (err == nil) != (want != Process{}) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

// FuzzParseStat: a process of a container calls itself what it wants.
func FuzzParseStat(f *testing.F) {
	f.Add("sh", byte('S'), 1, uint64(77))
	f.Add(") Z 1 2 3", byte('R'), 4711, uint64(1)<<63)
	f.Add("a\nb (c) ", byte('Z'), 0, uint64(0))
	f.Fuzz(func(t *testing.T, name string, state byte, parent int, start uint64) {
		line := fmt.Sprintf("4711 (%s) %s %d%s %d 0 0\n", name, []byte{state}, parent, strings.Repeat(" 0", 17), start)
		p, err := parseStat([]byte(line))
		if state == ' ' || state == ')' || strings.TrimSpace(string(state)) == "" || parent < 0 {
			return // the kernel writes none of these: that it was looked at is enough
		}
		if err != nil || p.State != state || p.Parent != parent || p.StartTime != start {
			t.Errorf("%q: %+v, %v", line, p, err)
		}
	})
}

func TestProcess(t *testing.T) {
	// A process that calls itself something that looks like the rest of the line.
	cmd := exec.Command("/bin/sh", "-c", `printf ') Z 1 2 3' > /proc/self/comm; printf ') Z 1 2 3' > /proc/$$/comm; echo; read x`)
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
	_, _ = out.Read(make([]byte, 1))
	pid := cmd.Process.Pid
	p, err := Stat(pid)
	if err != nil || p.Dead() || p.StartTime == 0 {
		t.Fatalf("stat: %+v, %v", p, err)
	}
	alive := func(start uint64, want bool) {
		t.Helper()
		if got, err := Alive(pid, start); got != want || err != nil {
			t.Errorf("alive: %v, %v, not %v", got, err, want)
		}
	}
	alive(p.StartTime, true)
	alive(p.StartTime+1, false)
	if _, err := Pidfd(pid, p.StartTime+1); !errors.Is(err, ErrNoProcess) {
		t.Errorf("pidfd of another: %v", err)
	}
	fd, err := Pidfd(pid, p.StartTime)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	_ = in.Close()
	poll := []unix.PollFd{{Fd: int32(fd.Fd()), Events: unix.POLLIN}}
	if err := sys.RetryErr(func() error { _, err := unix.Poll(poll, int(hang.Limit.Milliseconds())); return err }); err != nil || poll[0].Revents == 0 {
		t.Fatalf("poll: %v", err)
	}
	// A zombie now.
	if p, err := Stat(pid); err != nil || !p.Dead() {
		t.Errorf("zombie: %+v, %v", p, err)
	}
	alive(p.StartTime, false)
	if _, err := Pidfd(pid, p.StartTime); !errors.Is(err, ErrNoProcess) {
		t.Errorf("pidfd of zombie: %v", err)
	}
	_ = cmd.Wait()
	alive(p.StartTime, false)
	for _, pid := range []int{pid, 0, -1} {
		if _, err := Pidfd(pid, p.StartTime); !errors.Is(err, ErrNoProcess) {
			t.Errorf("pidfd of %d: %v", pid, err)
		}
	}
}

// Nothing that this package waits for is waited for by sleeping: of many whole lives, one is short on any machine.
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
