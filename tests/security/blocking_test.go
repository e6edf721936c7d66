package security

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// Attacks that block the runtime: a container withholds what a command waits for.

// stopperEnv makes this package's test binary a process of a container that stops all others.
const stopperEnv = "ORLOP_TEST_STOPPER"

// stopAll keeps sending SIGSTOP to each process of the PID namespace except the first one, which is
// this one.
func stopAll() {
	fmt.Println("up")
	for {
		_ = unix.Kill(-1, unix.SIGSTOP) // ESRCH: there is none
		time.Sleep(50 * time.Microsecond)
	}
}

// stopper starts a container whose first process stops all others, and returns its PID.
func stopper(t *testing.T, b *harness.Box) int {
	t.Helper()
	b.Spec.Process.Env = append(b.Spec.Process.Env, stopperEnv+"=1", "GOMAXPROCS=1")
	harness.CopySelf(t, filepath.Join(b.Rootfs, "self"))
	return b.Up(harness.Args("/self"))
}

// unheld is the timeout for commands that must not wait for a container. It is far above what they
// need on any machine.
const unheld = time.Minute

func quick(b *harness.Box, args ...string) harness.Result {
	b.T.Helper()
	c := b.Cmd(args...)
	c.Limit = unheld
	return c.Run()
}

// isStopped reports whether a process exists and is stopped.
func isStopped(pid string) bool {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat") // it may have exited
	return strings.Contains(string(stat), ") T ")
}

func awaitStop(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(hang.Limit); !isStopped(strconv.Itoa(pid)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is not stopped, so this shows nothing", pid)
		}
	}
}

// stoppedBelow waits until a process has a stopped child, or has exited. It returns the stopped
// one's PID, or 0.
func stoppedBelow(t *testing.T, parent int) int {
	t.Helper()
	for end := time.Now().Add(hang.Limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		children, err := filepath.Glob("/proc/" + strconv.Itoa(parent) + "/task/*/children")
		must(t, err)
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return 0
		}
		for _, list := range children {
			data, _ := os.ReadFile(list) // the thread may have exited
			for _, child := range strings.Fields(string(data)) {
				if isStopped(child) {
					pid, err := strconv.Atoi(child)
					must(t, err)
					return pid
				}
			}
		}
	}
	t.Fatalf("process %d has neither ended nor a stopped child", parent)
	return 0
}

// TestStoppedCreate: a container is created in the PID namespace of another, which stops each
// process that it sees there. That blocks no command, and the container can be killed and deleted.
func TestStoppedCreate(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	pid := stopper(t, harness.New(t))
	b := harness.New(t, harness.WithNamespace(specs.PIDNamespace, fmt.Sprintf("/proc/%d/ns/pid", pid)), harness.Args("sleep", "1000"))
	attempts(t, 10, func(n int) {
		create := b.Cmd("run", "--detach", "--bundle", b.Bundle, b.ID).Start()
		if stoppedBelow(t, create.Pid) == 0 {
			// Positive control: it was too quick to be stopped before, and is stopped now.
			create.Wait().OK(b)
			awaitStop(t, b.State().Pid)
		}
		quick(b, "state", b.ID)
		if n%2 == 0 {
			// Until the process is recorded there is nothing to kill.
			if r := quick(b, "kill", b.ID, "KILL"); r.Status != 0 && !strings.Contains(r.Stderr, "it is still being created") {
				r.OK(b)
			}
		}
		quick(b, "delete", "--force", b.ID).OK(b)
		create.Wait()
		b.CheckClean()
	})
}

// TestStoppedExec: a process of the container stops each new process there. That may block an exec,
// and nothing else.
func TestStoppedExec(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	b := harness.New(t)
	stopped := 0
	attempts(t, 10, func(n int) {
		stopper(t, b)
		exec := b.Cmd("exec", b.ID, "sleep", "1000").Start()
		if stoppedBelow(t, exec.Pid) != 0 {
			stopped++
		}
		quick(b, "state", b.ID).OK(b)
		quick(b, "update", "--pids-limit", "100", b.ID).OK(b)
		quick(b, "ps", b.ID).OK(b)
		quick(b, "pause", b.ID).OK(b)
		quick(b, "resume", b.ID).OK(b)
		if n%2 == 0 {
			quick(b, "kill", b.ID, "KILL").OK(b)
		}
		quick(b, "delete", "--force", b.ID).OK(b)
		exec.Wait()
		b.CheckClean()
	})
	if stopped == 0 {
		t.Error("nothing was stopped, so this shows nothing")
	}
}

// A trap is what a container has in place of a file that the runtime reads. It is created at path,
// which is host on the host.
type trap struct {
	name  string
	make  func(b *harness.Box, path string) (undo func(), err error)
	eater bool // reading it removes data from the host
}

func traps() []trap {
	remove := func(path string) func() { return func() { os.Remove(path) } }
	bind := func(b *harness.Box, script string) (func(), error) {
		b.OK("exec", "--env", "HOME=/", b.ID, "sh", "-c", script)
		return func() { b.OK("exec", "--env", "HOME=/", b.ID, "umount", "/etc/passwd") }, nil
	}
	return []trap{
		{"a link to /proc/kmsg", func(_ *harness.Box, path string) (func(), error) { return remove(path), os.Symlink("/proc/kmsg", path) }, true},
		{"a FIFO", func(_ *harness.Box, path string) (func(), error) { return remove(path), unix.Mkfifo(path, 0o644) }, false},
		{"a file under a lease", func(_ *harness.Box, path string) (func(), error) {
			release, err := lease(path)
			return func() { release(); os.Remove(path) }, err
		}, false},
		{"a bind mount of /proc/kmsg", func(b *harness.Box, path string) (func(), error) {
			must(b.T.(*testing.T), os.WriteFile(path, nil, 0o644))
			return bind(b, "mount --bind /proc/kmsg /etc/passwd")
		}, true},
		{"a bind mount of a FIFO", func(b *harness.Box, path string) (func(), error) {
			must(b.T.(*testing.T), os.WriteFile(path, nil, 0o644))
			return bind(b, "rm -f /fifo; mkfifo /fifo; mount --bind /fifo /etc/passwd")
		}, false},
	}
}

// lease makes a file, and takes a lease on it: an open blocks until that is released, up to 45 s.
func lease(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	signal.Ignore(unix.SIGIO) // requests the release of the lease
	if _, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// waits reports whether a program that reads a file is still blocked after a while.
func waits(t *testing.T, path string) bool {
	t.Helper()
	cat := exec.Command("cat", path)
	must(t, cat.Start())
	done := make(chan error, 1)
	go func() { done <- cat.Wait() }()
	select {
	case <-done:
		return false
	case <-time.After(200 * time.Millisecond):
		must(t, cat.Process.Kill())
		<-done
		return true
	}
}

// TestPasswdTraps: a container has another file in place of its /etc/passwd, which the runtime
// reads for HOME. It blocks a process that opens or reads it, or takes the host's kernel messages
// from the host.
func TestPasswdTraps(t *testing.T) {
	harness.OrlopOnly(t, "others read it")
	b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_SYSLOG", "CAP_DAC_OVERRIDE"))
	pid := b.Up()
	passwd := filepath.Join(b.Rootfs, "etc/passwd")
	list := traps()
	attempts(t, 2*len(list), func(n int) {
		trap := list[n%len(list)]
		if err := os.Remove(passwd); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		undo, err := trap.make(b, passwd)
		must(t, err)
		defer undo()
		if n < len(list) {
			// Positive control.
			path := fmt.Sprintf("/proc/%d/root/etc/passwd", pid)
			if trap.eater {
				if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
					t.Fatalf("%s: %v, %v: who looks at its mode does not fall for it", trap.name, info, err)
				}
			} else if !waits(t, path) {
				t.Fatalf("%s: who reads it does not wait", trap.name)
			}
		}
		start := time.Now()
		if out := quick(b, "exec", b.ID, "sh", "-c", "echo $HOME").OK(b); out != "/\n" {
			t.Errorf("%s: HOME is %q", trap.name, out)
		}
		if took := time.Since(start); took > 30*time.Second { // a lease is broken after 45
			t.Errorf("%s: exec took %v", trap.name, took)
		}
	})
}

// TestCopyUpLease: a neighbour has a lease on a file that tmpcopyup copies.
func TestCopyUpLease(t *testing.T) {
	harness.OrlopOnly(t, "others wait")
	b := harness.New(t, harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup"))
	path := filepath.Join(b.Rootfs, "var/file")
	release, err := lease(path)
	must(t, err)
	defer release()
	if !waits(t, path) {
		t.Fatal("who reads it does not wait: it shows nothing")
	}
	attempts(t, 10, func(int) {
		quick(b, "run", "--bundle", b.Bundle, b.ID).Fails(b, "mounts[7]: tmpcopyup of /var: open file: a process has a lease on it")
		b.CheckClean()
	})
}
