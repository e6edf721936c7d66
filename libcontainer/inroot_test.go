package libcontainer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpenInRootWhileThingsMove: that folders are moved somewhere else, which the kernel tells by EAGAIN, is no reason to fail.
func TestOpenInRootWhileThingsMove(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/a/b/c", "root/target", "moved"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../../target", filepath.Join(dir, "root/a/b/c/link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for from, to := dir+"/moved", dir+"/other"; ; from, to = to, from {
			select {
			case <-stop:
				return
			default:
				os.Rename(from, to)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	again, opened := 0, 0
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	for end := time.Now().Add(time.Second); time.Now().Before(end) && (again < 20 || opened < 1000); opened++ {
		fd, err := unix.Openat2(int(root.Fd()), "a/b/c/link", &how) // the control
		if err == nil {
			unix.Close(fd)
		} else if err == unix.EAGAIN {
			again++
		}
		f, err := openInRoot(root, "a/b/c/link", unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	t.Logf("opened %d times, the kernel said EAGAIN to %d of as many single tries", opened, again)
}
