package security

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// An oddity is unusual content of an image. want is a part of the resulting error, "" if the
// container runs.
type oddity struct {
	name string
	set  func(t *testing.T, b *harness.Box)
	want string
}

// replace replaces a path of an image.
func replace(name string, make func(path string) error, changes ...func(*specs.Spec)) func(*testing.T, *harness.Box) {
	return func(t *testing.T, b *harness.Box) {
		path := filepath.Join(b.Rootfs, name)
		must(t, os.RemoveAll(path))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, make(path))
		for _, change := range changes {
			change(b.Spec)
		}
	}
}

func fifo(path string) error   { return unix.Mkfifo(path, 0o777) }
func device(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o777, int(unix.Mkdev(1, 5))) }
func to(target string) func(string) error {
	return func(path string) error { return os.Symlink(target, path) }
}

// deep makes a directory that is nested too deeply for a path.
func deep(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; err == nil && i < 3000; i++ {
		if err = unix.Mkdirat(dir, "d", 0o755); err == nil {
			below, err2 := unix.Openat(dir, "d", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			unix.Close(dir)
			dir, err = below, err2
		}
	}
	unix.Close(dir)
	return err
}

// sparse makes a file of a TiB without any data.
func sparse(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(path, "sparse"))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(1 << 40)
}

func oddities() []oddity {
	args := func(args ...string) func(*specs.Spec) { return harness.Args(args...) }
	cwd := func(path string) func(*specs.Spec) { return func(s *specs.Spec) { s.Process.Cwd = path } }
	copied := harness.WithMount("/var", "tmpfs", "tmpfs", "tmpcopyup", "size=64m")
	bare := func(s *specs.Spec) { // shows the image's /dev
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
	}
	terminal := func(s *specs.Spec) { s.Process.Terminal = true }
	nothing := func(string) error { return nil }
	return []oddity{
		{"the program is a FIFO", replace("bin/odd", fifo, args("/bin/odd")), "permission denied"},
		{"the program is a device", replace("bin/odd", device, args("/bin/odd")), "permission denied"},
		{"the program is a directory", replace("bin/odd", func(p string) error { return os.Mkdir(p, 0o755) }, args("/bin/odd")), "permission denied"},
		{"/dev is a link to the process's descriptors", replace("dev", to("/proc/self/fd"), bare), "dev"},
		{"/dev is a link into sysfs", replace("dev", to("/sys/kernel"), bare), "dev"},
		{"/proc is a link", replace("proc", to("/sys")), "proc"},
		{"/sys is a FIFO", replace("sys", fifo), "sys"},
		{"/dev/ptmx is a device, with a terminal", replace("dev/ptmx", device, bare, terminal), "process.terminal"},
		{"/dev/ptmx is a FIFO, with a terminal", replace("dev/ptmx", fifo, bare, terminal), "process.terminal"},
		{"a mount point is a link into procfs", replace("var", to("/proc/sys/kernel"), copied), "mounts["},
		{"a mount point is a link to the process's attributes", replace("l", to("/proc/self/attr"), harness.WithMount("/l/exec", "bind", "/dev/null", "bind")), "mounts["},
		{"a remount leads into procfs", replace("l", to("/proc"), harness.WithMount("/l/sys", "bind", "none", "remount", "bind", "rw")), "mounts["},
		{"the working directory leads out by a magic link", replace("l", to("/proc/self/root/../../.."), cwd("/l/x")), "process.cwd"},
		{"the working directory is that of another process", replace("l", nothing, cwd("/proc/1/cwd")), "process.cwd"},
		{"the working directory is a thread's root", replace("l", nothing, cwd("/proc/thread-self/root")), "process.cwd"},
		{"what is copied is deeper than a path is long", replace("var", deep, copied), ""},
		{"what is copied is a sparse file of a TiB", replace("var", sparse, copied), ""},
	}
}

// TestOddImages: whatever the content of an image, its container runs inside the image, or is
// refused at once with a clear error.
func TestOddImages(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	list := oddities()
	attempts(t, len(list), func(n int) {
		odd := list[n%len(list)]
		t.Run(fmt.Sprintf("%s %d", odd.name, n), func(t *testing.T) {
			b := harness.New(t, harness.Writable, harness.Sh("true"))
			odd.set(t, b)
			b.Write()
			r := quick(b, "run", "--bundle", b.Bundle, b.ID)
			if odd.want == "" {
				r.OK(b)
			} else {
				r.Fails(b, odd.want)
			}
			if strings.Contains(r.Stderr, "goroutine ") {
				t.Errorf("a panic: %s", r.Stderr)
			}
			b.CheckClean()
		})
	})
}
