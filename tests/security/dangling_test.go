package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// danglingVolume makes a volume in which a directory "dir" and a link "link", a file "file" and a link "flink" are there to be swapped. The
// links lead to what does not exist in the directory out, neither on the host nor in the root file system.
func danglingVolume(t *testing.T, b *harness.Box, out string) string {
	t.Helper()
	volume := folder(t, filepath.Join(b.Dir, "volume"))
	folder(t, filepath.Join(volume, "dir"))
	must(t, os.WriteFile(filepath.Join(volume, "file"), nil, 0o644))
	must(t, os.Symlink(out+"/gone/deep", filepath.Join(volume, "link")))
	must(t, os.Symlink(out+"/made", filepath.Join(volume, "flink")))
	return volume
}

// TestSwappedDanglingLink: mount points lie in a shared volume, in which a neighbour swaps directories and files with dangling links that
// lead out. What is missing is made where the links lead inside the root, never outside.
func TestSwappedDanglingLink(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	for name := range targets("") {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, harness.Args("cat", "/proc/self/mountinfo"))
			out, check := outside(t, b)
			volume := danglingVolume(t, b, targets(out)[name])
			gift := folder(t, filepath.Join(b.Dir, "gift"))
			must(t, os.WriteFile(filepath.Join(gift, "bound"), nil, 0o644))
			b.Spec.Mounts = append(b.Spec.Mounts, []specs.Mount{
				{Destination: "/vol", Type: "bind", Source: volume, Options: []string{"rbind"}},
				{Destination: "/vol/dir/a", Type: "tmpfs", Source: "probe"},
				{Destination: "/vol/link/new/deep", Type: "tmpfs", Source: "probe"},
				{Destination: "/vol/file", Type: "bind", Source: filepath.Join(gift, "bound"), Options: []string{"bind"}},
				{Destination: "/vol/flink", Type: "bind", Source: filepath.Join(gift, "bound"), Options: []string{"bind"}},
				{Destination: "/vol/dir", Type: "tmpfs", Source: "probe"},
			}...)
			b.Spec.Process.Cwd = "/vol/link/cwd"
			b.Write()

			times := rounds
			if name == "relative" {
				times = 300 // EAGAIN is what it adds
			}
			top := filepath.Join(b.Rootfs, strings.Split(out, "/")[1])
			before := harness.Tree(t, top)
			run := func() harness.Result {
				r := b.Do("run", "--bundle", b.Bundle, b.ID)
				if harness.Tree(t, top) != before { // where the links led; so that they dangle again
					must(t, os.RemoveAll(filepath.Join(b.Rootfs, out)))
				}
				return r
			}
			race(t, times, swap(t, volume, "dir", "link", "file", "flink"), run, func(r harness.Result) {
				// What is mounted outside the root shows in no mountinfo once the root is changed.
				if probes, gifts := strings.Count(r.Stdout, " probe "), strings.Count(r.Stdout, "/gift/bound "); probes < 3 || gifts < 2 {
					t.Errorf("%d and %d of the mounts are in the container, want 3 and 2:\n%s", probes, gifts, r.Stdout)
				}
			})
			check()
		})
	}
}

// TestNaiveDanglingLink is the positive control: who looks at a path, and then makes a file there, is led out by the same neighbour.
func TestNaiveDanglingLink(t *testing.T) {
	b := harness.New(t)
	out := folder(t, filepath.Join(b.Dir, "outside"))
	volume := danglingVolume(t, b, out)
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
