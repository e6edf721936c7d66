package sys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRetry(t *testing.T) {
	calls := 0
	n, err := Retry(func() (int, error) {
		if calls++; calls < 3 {
			return -1, unix.EINTR
		}
		return calls, unix.EIO
	})
	if n != 3 || err != unix.EIO {
		t.Errorf("%d, %v", n, err)
	}
	if err := RetryErr(func() error { calls--; return []error{nil, unix.EINTR, unix.EINTR}[calls] }); err != nil || calls != 0 {
		t.Errorf("%v after %d", err, calls)
	}
}

func TestKernelFrom(t *testing.T) {
	for release, want := range map[string]bool{
		"6.17.0-rc1": true, "6.18.2": true, "7.0": true, "6.16.99": false, "5.20": false, "six": false, "": false,
	} {
		if got := (Names{Release: release}).KernelFrom(6, 17); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
	names, err := Uname()
	if host, _ := os.Hostname(); err != nil || names.Hostname != host || !names.KernelFrom(2, 6) {
		t.Errorf("%+v, %v", names, err)
	}
}

// TestConnectPath: a path may be longer than an address.
func TestConnectPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 150))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	parent, err := Open(dir, unix.O_PATH)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	server, err := UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	if err := unix.Bind(server, &unix.SockaddrUnix{Name: FdPath(int(parent.Fd())) + "/socket"}); err != nil {
		t.Fatal(err)
	}
	client, err := UnixSocket(unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	for path, want := range map[string]error{dir + "/none": unix.ENOENT, dir: unix.ECONNREFUSED, dir + "/socket": nil} {
		if err := ConnectPath(client, path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
