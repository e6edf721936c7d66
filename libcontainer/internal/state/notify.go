package state

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

const notifyName = "notify"

// NotifyPath returns the path of the folder that MakeNotify makes for a container.
func (r *Root) NotifyPath(id string) string { return filepath.Join(r.path, id, notifyName) }

// MakeNotify makes and opens the folder that a container sees, for the socket by which it says that it is ready.
func (d *Dir) MakeNotify() (*os.File, error) {
	if err := sys.RetryErr(func() error { return unix.Mkdirat(d.fd, notifyName, 0o755) }); err != nil {
		return nil, &os.PathError{Op: "make", Path: d.root.NotifyPath(d.id), Err: err}
	}
	f, err := d.OpenNotify()
	if err == nil {
		err = f.Chmod(0o755) // whatever the umask is: the container's user walks through it
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return f, nil
}

// OpenNotify opens the folder. The error is fs.ErrNotExist when the container was made without one.
func (d *Dir) OpenNotify() (*os.File, error) {
	path := d.root.NotifyPath(d.id)
	fd, err := d.openat(notifyName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
