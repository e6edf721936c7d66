package sys

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The functions in this file bypass the poller of package os, which adds each file to an epoll
// instance and needs five more system calls. Kernel files that can be polled, such as mountinfo and
// the control files of cgroups, report an event at once, for which Go wakes a thread. They would
// also become non-blocking for a process that inherits them.

// OpenFd opens a file with flags of open(2) and O_CLOEXEC.
func OpenFd(path string, flags int) (int, error) {
	return Retry(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
}

// Open opens a file like [OpenFd]. O_NONBLOCK applies only to the opening: reads and writes block.
// An error is an [*os.PathError].
func Open(path string, flags int) (*os.File, error) {
	fd, err := OpenFd(path, flags)
	if err == nil && flags&unix.O_NONBLOCK != 0 {
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenAt opens a name in a directory without following a symlink. An error is an [*os.PathError].
func OpenAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := Retry(func() (int, error) {
		return unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// OpenInRoot opens a path below a directory with hostile content, as if the directory were the
// root: no symlink leads out of it. With unix.O_PATH it does not activate even a device. An error
// is an [*os.PathError].
func OpenInRoot(root *os.File, path string, flags uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	// EAGAIN: a rename or mount on this host raced with the kernel's walk through "..", and the
	// kernel cannot tell whether that is safe (openat2(2)). It says nothing about the path.
	const tries = 128
	for try := 1; ; try++ {
		fd, err := Retry(func() (int, error) { return unix.Openat2(int(root.Fd()), "./"+path, how) })
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case err == unix.EAGAIN && try < tries:
		default:
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// FdPath returns the path in /proc of a file descriptor of this process.
func FdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Reopen opens an open file again with other flags. The file may be open with O_PATH.
func Reopen(f *os.File, flags int) (*os.File, error) { return Open(FdPath(int(f.Fd())), flags) }

// ReadFile reads a whole file. An error is an [*os.PathError].
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(1024) // most of the files read here are smaller
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// ReadAll reads a file descriptor to its end, starting with a buffer of the given size.
func ReadAll(fd, size int) ([]byte, error) {
	buf := make([]byte, 0, size)
	for {
		n, err := Retry(func() (int, error) { return unix.Read(fd, buf[len(buf):cap(buf)]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return buf, nil
		}
		if buf = buf[:len(buf)+n]; len(buf) == cap(buf) {
			buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
		}
	}
}
