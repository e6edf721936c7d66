package security

import (
	"bytes"
	"fmt"
	"os"
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

// regularFiles is the number of pairs of a regular and another file that are swapped at a time.
const regularFiles = 8

// swappedKinds are what regular files are swapped with. Device rules forbid reading the device, and
// a read from a FIFO that another process holds open blocks forever.
var swappedKinds = map[string]func(t *testing.T, path string){
	"device": func(t *testing.T, path string) {
		must(t, unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	},
	"fifo": func(t *testing.T, path string) {
		must(t, unix.Mkfifo(path, 0o666))
		writer, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { writer.Close() })
	},
}

// swappedNodes fills a directory with regular and other files, and returns the pairs of names. A
// regular file that is empty afterwards was read from the null device.
func swappedNodes(t *testing.T, dir string, mknod func(t *testing.T, path string)) []string {
	t.Helper()
	var names []string
	for i := range regularFiles {
		file, node := fmt.Sprintf("file%d", i), fmt.Sprintf("node%d", i)
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("regular\n"), 0o644))
		mknod(t, filepath.Join(dir, node))
		names = append(names, file, node)
	}
	return names
}

// TestSwappedCopyUp: a tmpfs with tmpcopyup covers a directory of a shared volume, in which a
// neighbour swaps regular files and device nodes or FIFOs. The runtime, to which no device rules
// apply, must not read a device for the container, and must not block.
func TestSwappedCopyUp(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	for kind, mknod := range swappedKinds {
		t.Run(kind, func(t *testing.T) {
			b := harness.New(t, harness.Args("sh", "-c", `cd /vol/data; for f in *; do [ -f "$f" ] && echo "$f:$(cat "$f")"; done; :`))
			volume := filepath.Join(b.Dir, "volume")
			harness.MountTmpfs(t, volume)
			data := directory(t, filepath.Join(volume, "data"))
			names := swappedNodes(t, data, mknod)
			b.Spec.Mounts = append(b.Spec.Mounts,
				specs.Mount{Destination: "/vol", Type: "bind", Source: volume, Options: []string{"rbind"}},
				specs.Mount{Destination: "/vol/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nodev", "size=1m"}})
			b.Write()
			run := func() harness.Result { return quick(b, "run", "--bundle", b.Bundle, b.ID) }
			race(t, rounds, swap(t, data, names...), run, func(r harness.Result) {
				for line := range strings.Lines(r.Stdout) {
					if !strings.HasSuffix(line, ":regular\n") {
						t.Errorf("the container has a regular file that was read from a device: %q", line)
					}
				}
			})
		})
	}
}

// TestNaiveCopyUp is the positive control: a program that inspects a name and then opens it gets
// the device or FIFO in the same race.
func TestNaiveCopyUp(t *testing.T) {
	for kind, mknod := range swappedKinds {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(harness.New(t).Dir, "volume")
			harness.MountTmpfs(t, dir)
			names := swappedNodes(t, dir, mknod)
			neighbour := swap(t, dir, names...)
			found := false
			for end := time.Now().Add(hang.Limit); !found && time.Now().Before(end); {
				for _, name := range names {
					found = found || naiveOpen(t, filepath.Join(dir, name))
				}
			}
			neighbour.end(t)
			if !found {
				t.Error("the race was never lost: it does not show anything")
			}
		})
	}
}

// naiveOpen opens a name that was a regular file before, and reports whether it got another file.
func naiveOpen(t *testing.T, path string) bool {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // otherwise a FIFO would block
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	return !info.Mode().IsRegular()
}

// The image's content for a tmpfs with tmpcopyup needs more memory than expensiveLimit, in the form
// of data, of inodes, or of extended attributes.
const expensiveLimit = 4 << 20

var expensive = []struct {
	name  string
	write func(t *testing.T, dir string)
}{
	{"a large file", func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "large"), bytes.Repeat([]byte("x"), 4*expensiveLimit), 0o644))
	}},
	{"many files", func(t *testing.T, dir string) {
		for i := range 6000 { // each needs an inode and an entry, some 900 bytes
			must(t, unix.Mknod(filepath.Join(dir, fmt.Sprint("file", i)), unix.S_IFREG|0o644, 0))
		}
	}},
	{"many directories and links", func(t *testing.T, dir string) {
		for i := range 3000 {
			must(t, os.Mkdir(filepath.Join(dir, fmt.Sprint("dir", i)), 0o755))
			must(t, os.Symlink(strings.Repeat("x", 2000), filepath.Join(dir, fmt.Sprint("link", i))))
		}
	}},
}

// TestCopyUpCharged: an image has more content for a tmpfs with tmpcopyup than the memory limit of
// the container allows. The copy is charged to the container, not to the host: it is refused, and
// nothing of it is left.
func TestCopyUpCharged(t *testing.T) {
	harness.OrlopOnly(t, "runc charges the host")
	file := memoryFile(t)
	limit, most := int64(expensiveLimit), int64(1) // its own process fills the container
	shelf := filepath.Join(harness.New(t).Dir, "shelf")
	harness.MountTmpfs(t, shelf) // quicker than a disk
	boxes := make([]*harness.Box, len(expensive))
	for i, e := range expensive {
		volume := filepath.Join(shelf, strconv.Itoa(i))
		e.write(t, directory(t, filepath.Join(volume, "data")))
		b := harness.New(t, harness.WithMount("/var", "bind", volume, "bind"),
			harness.WithMount("/var/data", "tmpfs", "tmpfs", "tmpcopyup", "size=1g", "nr_inodes=100000"))
		boxes[i] = b

		// Positive control: without the limit everything is copied, and costs the container more
		// than that.
		b.Up()
		if used := number(t, filepath.Join(file.mount, b.Cgroup, file.name)); used < limit {
			t.Fatalf("%s: the copy is charged to the container with %d bytes only", e.name, used)
		}
		b.OK("delete", "--force", b.ID)
		b.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		b.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &most}
		b.Write()
	}
	attempts(t, len(boxes), func(n int) {
		b, e := boxes[n%len(boxes)], expensive[n%len(boxes)]
		const want = "mounts[8]: tmpcopyup of /var/data: the container's memory limit is too small for the copy (linux.resources.memory)"
		if r := b.Do("run", "--detach", "--bundle", b.Bundle, b.ID); r.Status == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: status %d, %q", e.name, r.Status, r.Stderr)
		}
		b.CheckClean()
	})
}

// memoryUse is the file in which a cgroup reports its memory usage.
type memoryUse struct{ mount, name string }

// memoryFile finds that file, and skips the test if there is none.
func memoryFile(t *testing.T) memoryUse {
	t.Helper()
	if mount := harness.CgroupMount("memory"); mount != "" {
		return memoryUse{mount, "memory.usage_in_bytes"}
	}
	mount := harness.CgroupMount("")
	if controllers, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers")); err != nil || !strings.Contains(string(controllers), "memory") {
		t.Skip("no memory controller here")
	}
	return memoryUse{mount, "memory.current"}
}

func number(t *testing.T, path string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(read(t, path)), 10, 64)
	must(t, err)
	return n
}
