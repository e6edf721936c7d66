// Package rawfile opens and reads files without the poller of package os. That has epoll look at each file, which takes five system calls
// more; those of the kernel that can be watched, mountinfo and the control files of cgroups, report an event at once, for which Go wakes a
// thread; and such files become non-blocking, also for a process that they are passed to.
package rawfile

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a file with flags of open(2). It is closed on exec, and blocks: O_NONBLOCK is for the opening alone. An error is an
// [*os.PathError].
func Open(path string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
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
}

// OpenInRoot opens a path below a directory whose content is hostile, as if the directory were the root: no link leads out. With
// unix.O_PATH not even a device is touched. An error is an [*os.PathError].
func OpenInRoot(root *os.File, path string, flags uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	// EAGAIN: something was moved or mounted on this host while the kernel walked through "..", so that it cannot tell where that led
	// (openat2(2)). It says nothing of the path.
	const tries = 128
	for try := 1; ; try++ {
		fd, err := unix.Openat2(int(root.Fd()), "./"+path, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case err == unix.EINTR, err == unix.EAGAIN && try < tries:
		default:
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// Read reads a file whole. An error is an [*os.PathError].
func Read(path string) ([]byte, error) {
	f, err := Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(1024) // most of what is read by this is smaller
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}
