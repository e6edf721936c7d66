package sys

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

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
	if err := RetryErr(func() error { _, err := unix.Poll(poll, int(hang.Limit.Milliseconds())); return err }); err != nil || poll[0].Revents == 0 {
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
