package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
)

// Box is the environment of one test: a directory, a --root of its own, a bundle, and a container
// ID.
type Box struct {
	T      testing.TB
	Dir    string // temporary, removed after the test
	Root   string // --root: the runtime's state directories
	Bundle string
	Rootfs string
	ID     string
	Spec   *specs.Spec // the content of config.json; call Write after a change
	Global []string    // flags for all commands
	Cgroup string      // the container's cgroup below each mount of a hierarchy
	// UID owns the box's processes where only that identifies them: they have no cgroup.
	UID  int
	Wrap []string // a command that runs the runtime each time: see Command.Wrap
	Env  []string // added to the runtime's environment

	running []*Process
	pipes   []*os.File
	after   []func()
	outputs int
}

// serial numbers the boxes of this process, so that their cgroups differ.
var serial atomic.Int64

// CgroupParent is the cgroup, relative to the root of each hierarchy, below which all tests'
// cgroups are.
func CgroupParent() string { return "/orlop-e2e-" + strconv.Itoa(os.Getpid()) }

// New makes a box with a bundle: a busybox root filesystem and the example config, changed by the
// given functions and written. When the test ends, its containers are deleted and it fails if
// anything is left.
func New(t testing.TB, changes ...func(*specs.Spec)) *Box {
	t.Helper()
	if shared.skip != "" {
		t.Skip(shared.skip)
	}
	dir, err := os.MkdirTemp(shared.dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	b := &Box{T: t, Dir: dir, Root: filepath.Join(dir, "state"), Bundle: filepath.Join(dir, "bundle"),
		ID: fmt.Sprintf("box-%d-%d", os.Getpid(), serial.Add(1))}
	b.Rootfs = filepath.Join(b.Bundle, "rootfs")
	shared.keep(b)
	t.Cleanup(b.close)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := makeRootfs(b.Rootfs); err != nil {
		t.Fatal(err)
	}
	b.Spec = Example()
	b.Cgroup = filepath.Join(CgroupParent(), b.ID)
	b.Spec.Linux.CgroupsPath = b.Cgroup
	for _, change := range changes {
		change(b.Spec)
	}
	b.Write()
	return b
}

// Write writes config.json.
func (b *Box) Write() {
	b.T.Helper()
	data, err := json.Marshal(b.Spec)
	if err != nil {
		b.T.Fatal(err)
	}
	b.WriteConfig(data)
}

// WriteConfig writes these bytes as config.json.
func (b *Box) WriteConfig(data []byte) {
	b.T.Helper()
	if err := os.WriteFile(filepath.Join(b.Bundle, "config.json"), data, 0o644); err != nil {
		b.T.Fatal(err)
	}
}

// Run changes the config and runs a container in the foreground.
func (b *Box) Run(changes ...func(*specs.Spec)) Result {
	b.T.Helper()
	for _, change := range changes {
		change(b.Spec)
	}
	b.Write()
	return b.Do("run", "--bundle", b.Bundle, b.ID)
}

// Sh runs a container whose process is a shell with this script, and returns its output; the test
// fails unless it exits with status 0.
func (b *Box) Sh(script string) string {
	b.T.Helper()
	return b.Run(Args("sh", "-c", script)).OK(b)
}

// Create creates a container whose standard output is returned as a stream of lines.
func (b *Box) Create(args ...string) *Lines {
	b.T.Helper()
	c := b.Cmd(append(append([]string{"create", "--bundle", b.Bundle}, args...), b.ID)...)
	lines := b.Lines()
	c.Stdout = lines.Writer
	c.Run().OK(b)
	lines.Writer.Close()
	return lines
}

// Up creates and starts a container that sleeps until it is killed, and returns its PID.
func (b *Box) Up(changes ...func(*specs.Spec)) int {
	b.T.Helper()
	b.Spec.Process.Args = []string{"sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"}
	for _, change := range changes {
		change(b.Spec)
	}
	b.Write()
	lines := b.Create()
	b.OK("start", b.ID)
	if line := lines.Next(); line != "up" {
		b.T.Fatalf("container says %q, want \"up\"", line)
	}
	return b.State().Pid
}

// State is the output of the state command.
type State struct {
	specs.State
	Rootfs  string `json:"rootfs"`
	Created string `json:"created"`
	Owner   string `json:"owner"`
}

// State returns the container's state.
func (b *Box) State() State {
	b.T.Helper()
	var s State
	if out := b.OK("state", b.ID); json.Unmarshal([]byte(out), &s) != nil {
		b.T.Fatalf("state: not JSON: %s", out)
	}
	return s
}

// Status fails the test unless this is the container's status.
func (b *Box) Status(want specs.ContainerState) {
	b.T.Helper()
	if got := b.State().Status; got != want {
		b.T.Fatalf("status is %q, want %q", got, want)
	}
}

// WaitGone waits until the process, any of this host, has exited.
func (b *Box) WaitGone(pid int) {
	b.T.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	// EINVAL means that it is gone, but a session or group still has its number.
	if err == unix.ESRCH || err == unix.EINVAL && pid > 0 {
		return
	}
	if err != nil {
		b.T.Fatalf("pidfd_open %d: %v", pid, err)
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(hang.Limit)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			b.T.Fatalf("process %d still runs after %v (%v)", pid, hang.Limit, err)
		}
		return
	}
}

// WaitStatus waits for a container's first process, which became a child of the test when the
// runtime exited, and returns its exit status, or 128 + signal.
func (b *Box) WaitStatus(pid int) int {
	b.T.Helper()
	status, ok := shared.reaper.waitOrphan(pid, hang.Limit)
	if !ok {
		b.T.Fatalf("process %d was not reaped within %v: it still runs or is nobody's child here", pid, hang.Limit)
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// After calls f when the test ends, once the containers are deleted.
func (b *Box) After(f func()) { b.after = append(b.after, f) }

// Lines is a pipe that is read line by line, each within a timeout.
type Lines struct {
	Writer *os.File
	b      *Box
	file   *os.File
	reader *bufio.Reader
}

// Lines makes a pipe; give Writer to a command and close it afterwards.
func (b *Box) Lines() *Lines {
	b.T.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.T.Fatal(err)
	}
	b.pipes = append(b.pipes, r, w)
	return &Lines{Writer: w, b: b, file: r, reader: bufio.NewReader(r)}
}

// Next returns the next line, without its end.
func (l *Lines) Next() string {
	l.b.T.Helper()
	line, err := l.next()
	if err != nil {
		l.b.T.Fatalf("next line: %v (so far %q)", err, line)
	}
	return line
}

// End fails the test unless the stream ends here: no process has the pipe open any more.
func (l *Lines) End() {
	l.b.T.Helper()
	if line, err := l.next(); err == nil || line != "" || os.IsTimeout(err) {
		l.b.T.Fatalf("the stream goes on with %q (%v), want its end", line, err)
	}
}

// More returns the next line, and false after the last one.
func (l *Lines) More() (string, bool) {
	line, err := l.next()
	return line, err == nil
}

func (l *Lines) next() (string, error) {
	if err := l.file.SetReadDeadline(time.Now().Add(hang.Limit)); err != nil {
		return "", err
	}
	line, err := l.reader.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}
