package sys

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPoll(t *testing.T) {
	r, w, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// A deadline is never met early, also one below the millisecond of poll(2).
	for _, limit := range []time.Duration{-time.Second, 0, 1, time.Millisecond + 1} {
		deadline := time.Now().Add(limit)
		if ready, err := Poll(PollIn(r), deadline); ready || err != nil || time.Now().Before(deadline) {
			t.Errorf("%v: ready %v, %v", limit, ready, err)
		}
	}
	if Readable(r) {
		t.Error("an empty pipe is readable")
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, deadline := range []time.Time{{}, time.Now(), time.Now().Add(time.Hour)} {
		fds := PollIn(w, r) // a pipe's end for writing is never readable
		if ready, err := Poll(fds, deadline); !ready || err != nil || fds[0].Revents != 0 || fds[1].Revents != unix.POLLIN {
			t.Errorf("%v: ready %v, %v, %v", deadline, ready, err, fds)
		}
	}
	if _, err := Poll([]unix.PollFd{{Fd: int32(r.Fd())}, {Fd: -1}}, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAwaitExit(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	pidfd, err := OpenPidfd(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	if ended, err := AwaitExit(pidfd, time.Now()); ended || err != nil || Readable(pidfd) {
		t.Errorf("it has ended: %v, %v", ended, err)
	}
	stdin.Close()
	if ended, err := AwaitExit(pidfd, time.Time{}); !ended || err != nil || !Readable(pidfd) {
		t.Errorf("it has not ended: %v, %v", ended, err)
	}
	if status, err := Reap(pid); err != nil || !status.Exited() {
		t.Errorf("status %v, %v", status, err)
	}
	if err := SignalPidfd(pidfd, unix.SIGTERM); err != unix.ESRCH {
		t.Errorf("signal to a reaped process: %v", err)
	}
	if _, err := OpenPidfd(pid); err != unix.ESRCH {
		t.Errorf("pidfd of a reaped process: %v", err)
	}
	if _, err := Reap(pid); err == nil {
		t.Error("reaped twice")
	}
}

// TestReopen: an O_PATH descriptor leads to its file also when the name is another's by now.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir+"/a", unix.O_PATH)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(dir+"/a", dir+"/b"); err != nil {
		t.Fatal(err)
	}
	again, err := Reopen(f, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if text, err := ReadAll(int(again.Fd()), 1); err != nil || string(text) != "first" {
		t.Errorf("%q, %v", text, err)
	}
}
