package sys

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpenInRootWhileThingsMove: that directories are moved elsewhere, which the kernel tells by
// EAGAIN, is no reason to fail.
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
		f, err := OpenInRoot(root, "a/b/c/link", unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	t.Logf("opened %d times, the kernel said EAGAIN to %d of as many single tries", opened, again)
}

// TestOpenPlainInRoot: what an image has in place of a file neither holds up who reads it nor has
// an effect.
func TestOpenPlainInRoot(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, do := range map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, []byte("content"), 0o600) },
		"leased":    func(path string) error { return os.WriteFile(path, []byte("content"), 0o600) },
		"link":      func(path string) error { return os.Symlink("/file", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	} {
		if err := do(at(name)); err != nil {
			t.Fatal(err)
		}
	}
	leased, err := os.OpenFile(at("leased"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer leased.Close()
	signal.Ignore(unix.SIGIO) // tells the holder of the lease
	defer signal.Reset(unix.SIGIO)
	if _, err := unix.FcntlInt(leased.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		root, name string
		want       error
	}{
		{dir, "file", nil},
		{dir, "link", nil},
		{dir, "missing", unix.ENOENT},
		{dir, "leased", ErrNotPlain},
		{dir, "directory", ErrNotPlain},
		{dir, "fifo", ErrNotPlain},
		{dir, "socket", ErrNotPlain},
		{"/dev", "null", ErrNotPlain},
		{"/proc", "kmsg", ErrNotPlain},
		{"/proc", "self/status", ErrNotPlain},
		{"/sys", "kernel/uevent_seqnum", ErrNotPlain},
	} {
		t.Run(test.root+"/"+test.name, func(t *testing.T) {
			root, err := os.Open(test.root)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			f, err := OpenPlainInRoot(root, test.name)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err != nil {
				return
			}
			defer f.Close()
			if data, err := io.ReadAll(f); err != nil || string(data) != "content" {
				t.Errorf("read %q, %v", data, err)
			}
		})
	}
}
