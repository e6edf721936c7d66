package libcontainer

import (
	"os"

	"golang.org/x/sys/unix"
)

// openInRoot opens a path below a folder whose content is hostile, as if the folder were the root: no link leads out. With
// unix.O_PATH not even a device is touched.
func openInRoot(root *os.File, path string, flags uint64) (*os.File, error) {
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
