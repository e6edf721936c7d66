// Package harness is the basis of the end-to-end tests: it drives a runtime from outside, only
// through its command line, and checks after each test that nothing of a container is left.
//
// By default it builds orlop from the tree. ORLOP=/path/to/orlop tests that binary; RUNTIME=runc
// tests another runtime, which shows that the tests check common behaviour rather than orlop's
// peculiarities.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// PrivateEnv is set for a process that is already in a mount namespace of its own: Main then does
// not make one.
const PrivateEnv = "ORLOP_TEST_PRIVATE"

// world is what all tests of one process share. It is made in Main; afterwards only boxes changes.
type world struct {
	runtime string // path of the runtime's binary
	name    string // "orlop", "runc", "crun"
	dir     string // temporary directory of this test process
	busybox string // busybox's copy in dir, to be linked into root filesystems
	applets []string
	cgroups []string // mount points of all cgroup hierarchies
	reaper  *reaper
	// before has the processes from before the tests, including this one.
	before map[int]bool
	skip   string // why no test can run here; "" if they can

	mu    sync.Mutex
	boxes []*Box // in use
}

func (w *world) keep(b *Box) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes = append(w.boxes, b)
}

func (w *world) drop(b *Box) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes = slices.DeleteFunc(w.boxes, func(box *Box) bool { return box == b })
}

// shared is set once by Main, before any test runs.
var shared *world

// Main runs a package's tests: from TestMain as os.Exit(harness.Main(m)).
//
// It first moves the process into a private mount namespace (by executing itself again, since only
// a process of one thread can move), and makes it the reaper of all orphans below it, like
// containerd's shim.
func Main(m *testing.M) int {
	if os.Geteuid() == 0 && os.Getenv(PrivateEnv) == "" {
		if err := reexecPrivate(); err != nil {
			fmt.Fprintln(os.Stderr, "private mount namespace:", err)
			return 1
		}
	}
	w, err := newWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = w
	// Tests give their threads namespaces of their own and let them exit. The main thread cannot
	// exit, and /proc/self shows it.
	runtime.LockOSThread()
	status := m.Run()
	w.close()
	return status
}

// reexecPrivate moves the calling thread into a new mount namespace and executes this binary again:
// the new process image has that thread's namespaces.
func reexecPrivate() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(os.Environ(), PrivateEnv+"=1"))
}

func newWorld() (*world, error) {
	w := &world{}
	if err := w.open(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// open makes what the tests share, or sets skip to the reason why that is impossible.
func (w *world) open() error {
	if os.Geteuid() != 0 {
		w.skip = "needs root"
		return nil
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		w.skip = "needs busybox (Debian: busybox-static)"
		return nil
	}
	if w.dir, err = os.MkdirTemp("", "orlop-e2e-"); err != nil {
		return err
	}
	// Other users' containers need access to directories below it.
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return err
	}
	if err := w.findBusybox(busybox); err != nil {
		return err
	}
	if err := w.findRuntime(); err != nil {
		return err
	}
	if w.name == "crun" {
		if err := coverUnified(); err != nil {
			return err
		}
	}
	if w.cgroups, err = cgroupMounts(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become child subreaper: %w", err)
	}
	w.before = map[int]bool{}
	for _, pid := range processes() {
		w.before[pid] = true
	}
	w.reaper = newReaper()
	return nil
}

// findBusybox copies busybox beside the tests' directories, so that it can be hard-linked into each
// root filesystem and a hostile test can't reach the host's.
func (w *world) findBusybox(path string) error {
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", path, err)
	}
	w.applets = strings.Fields(string(list))
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	w.busybox = filepath.Join(w.dir, "busybox")
	return os.WriteFile(w.busybox, binary, 0o755)
}

// findRuntime takes the runtime from the environment or builds it.
func (w *world) findRuntime() error {
	path := os.Getenv("ORLOP")
	if path == "" {
		path = os.Getenv("RUNTIME")
	}
	if path == "" {
		w.name, w.runtime = "orlop", filepath.Join(w.dir, "orlop")
		return build(w.runtime)
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return err
	}
	if w.runtime, err = filepath.Abs(found); err != nil {
		return err
	}
	w.name = filepath.Base(w.runtime)
	if os.Getenv("ORLOP") != "" {
		w.name = "orlop"
	}
	return nil
}

// build builds orlop as the Makefile does.
func build(output string) error {
	root, err := repository()
	if err != nil {
		return err
	}
	tags := "urfave_cli_no_docs"
	// `make build` makes it; see package seccomp.
	if _, err := os.Stat(filepath.Join(root, "libcontainer/seccomp/compiler.elf")); err == nil {
		tags += ",seccomp"
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=exe",
		"-tags", tags, "-ldflags", "-s -w -buildid=", "-o", output, ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build orlop: %w\n%s", err, out)
	}
	return nil
}

// repository returns the directory with the product's go.mod, above the tests' own: tests may be a
// module of their own.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(mod), "module github.com/orlop/orlop\n") {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod above the tests: %w", os.ErrNotExist)
}

func (w *world) close() {
	if w.dir == "" {
		return
	}
	for _, mount := range w.cgroups {
		// Runtimes make the parents of a cgroup and leave them. Only failed tests leave cgroups
		// below.
		parent := filepath.Join(mount, CgroupParent())
		if left, err := filepath.Glob(parent + "/*/"); err == nil {
			for _, path := range left {
				os.Remove(path)
			}
		}
		os.Remove(parent)
	}
	os.RemoveAll(w.dir)
}

// Name is the name of the runtime under test: "orlop", "runc", "crun".
func Name() string { return shared.name }

// Runtime is the path of the runtime under test.
func Runtime() string { return shared.runtime }

// OrlopOnly skips a test of what other runtimes do differently, or not at all.
func OrlopOnly(t testing.TB, why string) {
	t.Helper()
	if shared.skip == "" && shared.name != "orlop" {
		t.Skipf("orlop only: %s", why)
	}
}
