package security

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// danglingVolume makes a volume with a directory "dir" and a link "link", and a file "file" and a
// link "flink", to be swapped. The links lead to missing names in the directory target, which exist
// neither on the host nor in the root filesystem.
func danglingVolume(t *testing.T, b *harness.Box, target, _ string) string {
	t.Helper()
	volume := directory(t, filepath.Join(b.Dir, "volume"))
	directory(t, filepath.Join(volume, "dir"))
	must(t, os.WriteFile(filepath.Join(volume, "file"), nil, 0o644))
	must(t, os.Symlink(target+"/gone/deep", filepath.Join(volume, "link")))
	must(t, os.Symlink(target+"/made", filepath.Join(volume, "flink")))
	return volume
}

// TestSwappedDanglingLink: mount points are in a shared volume, in which a neighbour swaps
// directories and files with dangling links that lead out. Missing files are made where the links
// lead inside the root, never outside.
func TestSwappedDanglingLink(t *testing.T) {
	(&mountRace{volume: danglingVolume, swaps: []string{"dir", "link", "file", "flink"}, change: func(s *specs.Spec, gift string) {
		for _, mount := range []func(*specs.Spec){
			harness.WithMount("/vol/dir/a", "tmpfs", "probe"),
			harness.WithMount("/vol/link/new/deep", "tmpfs", "probe"),
			harness.WithMount("/vol/file", "bind", filepath.Join(gift, "bound"), "bind"),
			harness.WithMount("/vol/flink", "bind", filepath.Join(gift, "bound"), "bind"),
			harness.WithMount("/vol/dir", "tmpfs", "probe"),
		} {
			mount(s)
		}
		s.Process.Cwd = "/vol/link/cwd"
	}, after: func(t *testing.T, b *harness.Box, out string) { // the links dangle again
		must(t, os.RemoveAll(filepath.Join(b.Rootfs, out)))
	}}).try(t)
}

// TestNaiveDanglingLink is the positive control: the same neighbour leads out a program that
// inspects a path and then creates a file there.
func TestNaiveDanglingLink(t *testing.T) {
	b := harness.New(t)
	out := directory(t, filepath.Join(b.Dir, "outside"))
	volume := danglingVolume(t, b, out, out)
	neighbour := swap(t, volume, "dir", "link", "file", "flink")
	escaped := false
	for end := time.Now().Add(timeLimit); !escaped && time.Now().Before(end); {
		path := filepath.Join(volume, "file")
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if f, err := os.OpenFile(path, os.O_CREATE, 0o644); err == nil {
			f.Close()
		}
		_, err := os.Stat(filepath.Join(out, "made"))
		escaped = err == nil
	}
	neighbour.end(t)
	if !escaped {
		t.Error("the race was never lost: it does not show anything")
	}
}
