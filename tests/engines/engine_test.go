package engines

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// limit is how long a command or an event may take before it counts as hung. In the emulated guest, where the tests are
// told to be short, all takes thirty times as long.
func limit() time.Duration {
	if testing.Short() {
		return 4 * hang.Limit
	}
	return hang.Limit
}

// client is an engine's command line.
type client struct {
	s    *stage
	argv []string // with global flags
	env  []string // added to the test's own
	dir  string   // to work in
	uid  int      // who calls it, if not root
}

// answer is what a command came to.
type answer struct {
	args     []string
	status   int
	out, err string
}

// do runs a command line to its end.
func (c *client) do(t *testing.T, args ...string) answer {
	t.Helper()
	return c.feed(t, "", args...)
}

// feed runs a command line with this standard input.
func (c *client) feed(t *testing.T, input string, args ...string) answer {
	t.Helper()
	var out, err bytes.Buffer
	cmd := c.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &err
	a := answer{args: cmd.Args, status: wait(t, cmd, nil)}
	a.out, a.err = out.String(), err.String()
	return a
}

// command makes a command line.
func (c *client) command(args ...string) *exec.Cmd {
	argv := append(slices.Clone(c.argv), args...)
	if c.uid != 0 {
		argv = append([]string{"setpriv", "--reuid", fmt.Sprint(c.uid), "--regid", fmt.Sprint(c.uid), "--clear-groups", "--inh-caps=-all", "--"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	return cmd
}

// wait starts a command, waits for its end and returns its status. It is killed when it takes too long.
func wait(t *testing.T, cmd *exec.Cmd, started func()) int {
	t.Helper()
	cmd.WaitDelay = 5 * time.Second // when something that it left running holds its streams
	if err := harness.StartOther(cmd); err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	timer := time.AfterFunc(limit(), func() { cmd.Process.Kill() })
	if started != nil {
		started()
	}
	err := harness.WaitOther(cmd)
	if !timer.Stop() {
		t.Errorf("%q: still running after %v", cmd.Args, limit())
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	if err != nil {
		t.Errorf("%q: %v", cmd.Args, err)
		return -1
	}
	return 0
}

// output runs a command that is no engine's and returns its output. All commands go through the harness, which reaps the
// orphans of this process and must know its own children.
func output(t *testing.T, argv ...string) string {
	t.Helper()
	return (&client{}).ok(t, argv...)
}

// ok runs a command line that must end with status 0, and returns what it said, without space around.
func (c *client) ok(t *testing.T, args ...string) string {
	t.Helper()
	return c.do(t, args...).exits(t, 0)
}

// exits fails the test unless the status is this one, and returns the output, without space around.
func (a answer) exits(t *testing.T, status int) string {
	t.Helper()
	if a.status != status {
		t.Fatalf("%q: status %d, want %d\nstdout: %s\nstderr: %s", a.args, a.status, status, a.out, a.err)
	}
	return strings.TrimSpace(a.out)
}

// says fails the test unless the status is this one and the text is in what was said.
func (a answer) says(t *testing.T, status int, text string) {
	t.Helper()
	if all := a.out + a.err; a.status != status || !strings.Contains(all, text) {
		t.Errorf("%q: status %d, want %d and %q\n%s", a.args, a.status, status, text, all)
	}
}

// equal fails the test unless both are the same.
func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// daemon is an engine's server.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	argv []string
	log  string
	done chan struct{} // closed when it has ended
}

// serve starts a server and waits until it is ready, which it tells as to systemd. It is stopped when the test ends.
func serve(t *testing.T, s *stage, argv ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, argv: argv, log: filepath.Join(s.dir, filepath.Base(argv[0])+".log")}
	d.start()
	t.Cleanup(func() {
		d.stop(unix.SIGTERM)
		if t.Failed() {
			d.show()
		}
	})
	return d
}

// start starts it (again) and waits until it is ready.
func (d *daemon) start() {
	d.t.Helper()
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		d.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unixgram"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer notify.Close()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.argv[0], d.argv[1:]...)
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "socket"))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := harness.StartOther(d.cmd); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	d.done = done
	cmd := d.cmd
	go func() {
		harness.WaitOther(cmd) //nolint:errcheck // its end is all that counts
		notify.Close()
		close(done)
	}()
	if err := notify.SetReadDeadline(time.Now().Add(limit())); err != nil {
		d.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for {
		n, err := notify.Read(buffer)
		if err != nil {
			d.show()
			d.t.Fatalf("%s is not ready: %v", d.argv[0], err)
		}
		if slices.Contains(strings.Split(string(buffer[:n]), "\n"), "READY=1") {
			return
		}
	}
}

// stop ends it with a signal.
func (d *daemon) stop(sig unix.Signal) {
	d.t.Helper()
	unix.Kill(d.cmd.Process.Pid, sig)
	select {
	case <-d.done:
	case <-time.After(limit()):
		d.t.Errorf("%s does not end", d.argv[0])
		d.cmd.Process.Kill()
		<-d.done
	}
}

// show logs the end of its log.
func (d *daemon) show() {
	d.t.Helper()
	data, err := os.ReadFile(d.log)
	if err != nil {
		return
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(data)), "\n"), func(line string) bool {
		return strings.Contains(line, "level=info") || strings.Contains(line, "load plugin")
	})
	d.t.Logf("%s:\n%s", d.log, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

// eventually waits until a condition holds that no event tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit()); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit())
		}
	}
}

// hog is a shell script that wants more memory than there is. The shell lives on for a while: engines learn of the lack and of a container's end
// in whatever order, and don't call it a container that was ended for lack of memory if the second comes first.
const hog = "tail /dev/zero; status=$?; sleep 5; exit $status"
