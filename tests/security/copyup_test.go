package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// regularFiles is how many pairs of a regular file and a device node are swapped at a time.
const regularFiles = 8

// swappedNodes fills a directory with regular files and nodes of the null device, and returns the pairs of names. A
// regular file that turns out empty was read from the device.
func swappedNodes(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for i := range regularFiles {
		file, node := fmt.Sprintf("file%d", i), fmt.Sprintf("node%d", i)
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("regular\n"), 0o644))
		must(t, unix.Mknod(filepath.Join(dir, node), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		names = append(names, file, node)
	}
	return names
}

// TestSwappedCopyUp: a tmpfs with tmpcopyup covers a directory of a shared volume, in which a neighbor swaps regular files
// and device nodes. The runtime, whom no device rules hold, must not read a device for the container.
func TestSwappedCopyUp(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	b := harness.New(t, harness.Args("sh", "-c", `cd /vol/data; for f in *; do [ -f "$f" ] && echo "$f:$(cat "$f")"; done; :`))
	volume := filepath.Join(b.Dir, "volume")
	harness.MountTmpfs(t, volume)
	data := folder(t, filepath.Join(volume, "data"))
	names := swappedNodes(t, data)
	b.Spec.Mounts = append(b.Spec.Mounts,
		specs.Mount{Destination: "/vol", Type: "bind", Source: volume, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nodev", "size=1m"}})
	b.Write()
	run := func() harness.Result { return b.Do("run", "--bundle", b.Bundle, b.ID) }
	race(t, rounds, swap(t, data, names...), run, func(r harness.Result) {
		for line := range strings.Lines(r.Stdout) {
			if !strings.HasSuffix(line, ":regular\n") {
				t.Errorf("the container has a regular file that was read from a device: %q", line)
			}
		}
	})
}

// TestNaiveCopyUp is the positive control: who looks at a name, and then opens it, reads the device in the same race.
func TestNaiveCopyUp(t *testing.T) {
	dir := filepath.Join(harness.New(t).Dir, "volume")
	harness.MountTmpfs(t, dir)
	names := swappedNodes(t, dir)
	neighbour := swap(t, dir, names...)
	found := false
	for end := time.Now().Add(hang.Limit); !found && time.Now().Before(end); {
		for _, name := range names {
			path := filepath.Join(dir, name)
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			content, err := os.ReadFile(path)
			must(t, err)
			found = found || len(content) == 0
		}
	}
	neighbour.end(t)
	if !found {
		t.Error("the race was never lost: it does not show anything")
	}
}
