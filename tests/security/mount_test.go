package security

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// sharedVolume makes a volume with a directory "dir" and a link "link" to a directory outside. The
// root filesystem has a directory of the same path, so the link also leads somewhere inside, and a
// container can be created whichever of the two is found.
func sharedVolume(t *testing.T, b *harness.Box, target, out string) string {
	t.Helper()
	volume := directory(t, filepath.Join(b.Dir, "volume"))
	directory(t, filepath.Join(volume, "dir"))
	must(t, os.Symlink(target, filepath.Join(volume, "link")))
	directory(t, filepath.Join(b.Rootfs, out))
	return volume
}

func targets(out string) map[string]string {
	return map[string]string{"absolute": out, "relative": strings.Repeat("../", 40) + out}
}

// A mountRace is a container with mount points in a shared volume, at /vol, in which a neighbour
// swaps names.
type mountRace struct {
	// volume makes the volume, with links to target: the directory out, by any path.
	volume func(t *testing.T, b *harness.Box, target, out string) string
	swaps  []string // arguments of swap
	// change adds to the configuration; gift is a directory with the file "bound". The container
	// has three mounts of the source "probe", and two of gift or its content.
	change func(s *specs.Spec, gift string)
	// after undoes what a run has made in the root filesystem; nil if there is nothing to undo.
	after func(t *testing.T, b *harness.Box, out string)
}

// try runs the container many times. Nothing is ever mounted or made outside its root.
func (m *mountRace) try(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	for name := range targets("") {
		t.Run(name, func(t *testing.T) {
			b := harness.New(t, harness.Args("cat", "/proc/self/mountinfo"))
			out, check := outside(t, b)
			volume := m.volume(t, b, targets(out)[name], out)
			gift := directory(t, filepath.Join(b.Dir, "gift"))
			must(t, os.WriteFile(filepath.Join(gift, "bound"), nil, 0o644))
			harness.WithMount("/vol", "bind", volume, "rbind")(b.Spec)
			m.change(b.Spec, gift)
			b.Write()

			times := rounds
			if name == "relative" {
				times = 300 // which EAGAIN causes in addition
			}
			run := func() harness.Result {
				r := b.Do("run", "--bundle", b.Bundle, b.ID)
				if m.after != nil {
					m.after(t, b, out)
				}
				return r
			}
			race(t, times, swap(t, volume, m.swaps...), run, func(r harness.Result) {
				// A mount outside the root is not in the mountinfo once the root is changed.
				if probes, gifts := strings.Count(r.Stdout, " probe "), strings.Count(r.Stdout, "/gift"); probes < 3 || gifts < 2 {
					t.Errorf("%d and %d of the mounts are in the container, want 3 and 2:\n%s", probes, gifts, r.Stdout)
				}
			})
			check()
		})
	}
}

// TestCVE2021_30465_SwappedMountPoint: CVE-2021-30465, CVE-2024-45310. Mount points are in a shared
// volume, in which a neighbour swaps a directory and a link that leads out.
func TestCVE2021_30465_SwappedMountPoint(t *testing.T) {
	(&mountRace{volume: sharedVolume, swaps: []string{"dir", "link"}, change: func(s *specs.Spec, gift string) {
		for _, mount := range []func(*specs.Spec){
			harness.WithMount("/vol/dir/a", "tmpfs", "probe"),
			harness.WithMount("/vol/dir/new/deep", "tmpfs", "probe"),
			harness.WithMount("/vol/dir/bound", "bind", filepath.Join(gift, "bound"), "bind"),
			harness.WithMount("/vol/dir/gift", "bind", gift, "rbind"),
			harness.WithMount("/vol/dir", "tmpfs", "probe"),
		} {
			mount(s)
		}
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, []string{"/vol/dir/a", "/vol/link/a"}
		s.Process.Cwd = "/vol/dir/cwd"
	}}).try(t)
}

// TestNaiveMountPoint is the positive control: the same neighbour leads out a program that inspects
// a path and then mounts on it.
func TestNaiveMountPoint(t *testing.T) {
	b := harness.New(t)
	out := directory(t, filepath.Join(b.Dir, "outside"))
	must(t, os.WriteFile(filepath.Join(out, "file"), nil, 0o600))
	volume := sharedVolume(t, b, out, out)
	neighbour := swap(t, volume, "dir", "link")
	escaped := make(chan bool, 1)
	failed := make(chan error, 1)
	go func() {
		err := private()
		found := false
		for end := time.Now().Add(hang.Limit); err == nil && !found && time.Now().Before(end); {
			found, err = naiveMount(filepath.Join(volume, "dir"), out)
		}
		escaped <- found
		failed <- err
		// The thread is still locked, so it exits here, and the mounts go with it.
	}()
	found := <-escaped
	must(t, <-failed)
	neighbour.end(t)
	if !found {
		t.Error("the race was never lost: it does not show anything")
	}
}

// private moves the calling goroutine to a mount namespace of its own permanently.
func private() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
}

// naiveMount mounts on a path that was a directory before, and reports whether it mounted on the
// directory out.
func naiveMount(path, out string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false, err
	}
	if err := unix.Mount("naive", path, "tmpfs", 0, ""); err != nil {
		return false, err
	}
	if _, err := os.Stat(filepath.Join(out, "file")); err != nil { // covered
		return true, unix.Unmount(out, unix.MNT_DETACH)
	}
	return false, unmountBelow(filepath.Dir(path))
}

// unmountBelow unmounts what the naive mounter put into the volume, under either name.
func unmountBelow(volume string) error {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); strings.HasPrefix(fields[4], volume+"/") {
			// EINVAL: it has the other name by now.
			for _, name := range []string{"dir", "link"} {
				if err := unix.Unmount(filepath.Join(volume, name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
					return err
				}
			}
		}
	}
	return nil
}
