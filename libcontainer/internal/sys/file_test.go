package sys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
		want := []byte(strings.Repeat("x", size))
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v, want %d", len(got), err, size)
		}
	}
	if data, err := ReadFile("/proc/self/mountinfo"); err != nil || len(data) == 0 {
		t.Errorf("%q, %v", data, err)
	}
	for path, want := range map[string]error{file + "/x": unix.ENOTDIR, file + "-none": fs.ErrNotExist, t.TempDir(): unix.EISDIR} {
		pathErr := (*os.PathError)(nil)
		if _, err := ReadFile(path); !errors.Is(err, want) || !errors.As(err, &pathErr) || pathErr.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestOpen: what is opened goes to no other program, and blocks who reads it.
func TestOpen(t *testing.T) {
	f, err := Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", flags, err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}
