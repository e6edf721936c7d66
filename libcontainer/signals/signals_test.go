package signals

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/emulated"
	"github.com/orlop/orlop/tests/hang"
)

// Signals affect a whole process, so the tests run in processes of their own: the test binary, with
// its role in roleEnv.
const roleEnv = "ORLOP_TEST_ROLE"

var roles = map[string]func(*receiver) error{"pass": pass, "race": race}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	r, err := newReceiver()
	if err == nil {
		err = errors.Join(role(r), r.end())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestSignals(t *testing.T) {
	for role := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			play(t, exec.Command(self), role)
		})
	}
}

// TestEmulated does the same with the handlers of all architectures.
func TestEmulated(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			binary, qemu := emulated.TestBinary(t, arch)
			for role := range roles {
				t.Run(role, func(t *testing.T) { play(t, exec.Command(qemu, binary), role) })
			}
		})
	}
}

func play(t *testing.T, cmd *exec.Cmd, role string) {
	t.Helper()
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", role, err, out)
	}
}

// A receiver is a process that records the signals which it gets: a shell.
type receiver struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	pidfd *os.File
}

// list are signals that a shell can report and that do not cancel each other, as SIGTSTP and
// SIGCONT do.
var list = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM, unix.SIGCONT,
	unix.SIGVTALRM, unix.SIGIO, unix.SIGPWR}

func newReceiver() (*receiver, error) {
	var script strings.Builder
	for _, s := range list {
		// A shell cannot trap a signal that is ignored when it starts, such as SIGHUP below nohup.
		if err := sigaction(s, &action{}, nil); err != nil {
			return nil, err
		}
		fmt.Fprintf(&script, "trap 'echo %d' %d\n", s, s)
	}
	// A shell that waits may have just missed a signal.
	script.WriteString("echo ready\nwhile :; do :; done")
	r := &receiver{cmd: exec.Command("/bin/sh", "-c", script.String())}
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the shell exits with it
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(r.cmd.Process.Pid, 0) // not CLONE_PIDFD, which qemu lacks
	if err != nil {
		return nil, err
	}
	r.pidfd, r.lines = os.NewFile(uintptr(fd), "pidfd"), bufio.NewScanner(out)
	if line, err := r.line(); err != nil || line != "ready" {
		return nil, fmt.Errorf("the shell says %q: %w", line, err)
	}
	return r, nil
}

func (r *receiver) end() error {
	if err := r.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = r.cmd.Wait() // it was killed
	return nil
}

func (r *receiver) line() (string, error) {
	late := time.AfterFunc(hang.Limit, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	if !r.lines.Scan() {
		return "", errors.New("no more signals arrive")
	}
	return r.lines.Text(), nil
}

// expect waits for signals, in any order.
func (r *receiver) expect(want ...unix.Signal) error {
	left := slices.Clone(want)
	for len(left) > 0 {
		line, err := r.line()
		if err != nil {
			return fmt.Errorf("%w: %v are missing", err, left)
		}
		n, err := strconv.Atoi(line)
		if err != nil {
			return err
		}
		i := slices.Index(left, unix.Signal(n))
		if i < 0 {
			return fmt.Errorf("signal %d has come once too often: of %v, %v are missing", n, want, left)
		}
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// raise sends signals to the calling thread, which has handled them when it returns.
func raise(list ...unix.Signal) error {
	for _, s := range list {
		if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), s); err != nil {
			return err
		}
	}
	return nil
}

// pass raises signals before there is a process to pass them to, and after.
func pass(r *receiver) error {
	if err := Hold(list...); err != nil {
		return err
	}
	early := []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGTERM}
	if err := raise(early...); err != nil {
		return err
	}
	rung, err := Bell()
	if err != nil {
		return err
	}
	defer rung.Close()
	if err := raise(early...); err != nil {
		return err
	}
	var count [8]byte
	if _, err := rung.Read(count[:]); err != nil || binary.NativeEndian.Uint64(count[:]) != uint64(len(early)) {
		return fmt.Errorf("the bell has rung %v times, not %d: %w", count, len(early), err)
	}
	if want := uint64(1<<(unix.SIGHUP-1) | 1<<(unix.SIGUSR1-1) | 1<<(unix.SIGTERM-1)); Held() != want {
		return fmt.Errorf("kept are %#x, not %#x", Held(), want)
	}
	PassTo(r.pidfd)
	if err := r.expect(early...); err != nil {
		return err
	}
	for _, s := range slices.Concat(list, list) {
		if err := errors.Join(raise(s), r.expect(s)); err != nil {
			return err
		}
	}
	if err := Hold(unix.SIGKILL); !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("hold SIGKILL: %w", err)
	}
	return nil
}

// race raises signals while their target is being set: each arrives, once.
func race(r *receiver) error {
	if err := Hold(list...); err != nil {
		return err
	}
	last := len(list) - 1
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		atomic.StoreInt32(&target, -1)
		raised := make(chan error)
		var begun atomic.Bool
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begun.Store(true)
			raised <- raise(list[:last]...)
		}()
		for !begun.Load() {
		}
		for somewhere := time.Now().Add(rand.N(40 * time.Microsecond)); time.Now().Before(somewhere); {
		}
		PassTo(r.pidfd)
		if err := <-raised; err != nil {
			return err
		}
		// Signals that arrived twice would come before the last one.
		err := r.expect(list[:last]...)
		if err == nil {
			err = errors.Join(raise(list[last]), r.expect(list[last]))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
