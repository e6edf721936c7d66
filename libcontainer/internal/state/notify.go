package state

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

const notifyName = "notify"

// NotifyPath returns the path of the directory that MakeNotify creates for a container.
func (r *Root) NotifyPath(id string) string { return filepath.Join(r.path, id, notifyName) }

// MakeNotify creates and opens the directory of the container's notify socket. The container sees
// this directory.
func (d *Dir) MakeNotify() (*os.File, error) {
	if err := sys.RetryErr(func() error { return unix.Mkdirat(d.fd, notifyName, 0o755) }); err != nil {
		return nil, &os.PathError{Op: "make", Path: d.root.NotifyPath(d.id), Err: err}
	}
	f, err := d.OpenNotify()
	if err == nil {
		err = f.Chmod(0o755) // regardless of the umask: the container's user must be able to enter it
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return f, nil
}

// OpenNotify opens that directory. The error is fs.ErrNotExist when the container has none.
func (d *Dir) OpenNotify() (*os.File, error) {
	path := d.root.NotifyPath(d.id)
	fd, err := d.openat(notifyName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
