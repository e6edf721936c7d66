package state

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

const (
	recordName = "record"
	newName    = "record.new"
	doomedName = "doomed"
)

// Dir is the state directory of one container, open until Close or Remove. It is not safe for
// concurrent use by several goroutines: the lock works between Dirs.
type Dir struct {
	root *Root
	id   string
	fd   int // of the directory, which carries the lock; -1 when closed
}

// openDir opens the directory at path as that of container id.
func openDir(r *Root, id, path string) (*Dir, error) {
	// O_NOFOLLOW: in a root that others can write to, a symlink must not lead anywhere else.
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
	fd, err := sys.OpenFd(path, flags)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{root: r, id: id, fd: fd}, nil
}

// ID returns the id of the container.
func (d *Dir) ID() string { return d.id }

// Path returns the path of the directory.
func (d *Dir) Path() string { return filepath.Join(d.root.path, d.id) }

// Close closes the directory and releases its lock and its marks.
func (d *Dir) Close() error {
	if d.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return err
}

// current reports whether the directory's path still names this directory.
func (d *Dir) current() (bool, error) {
	var own, named unix.Stat_t
	if err := sys.RetryErr(func() error { return unix.Fstat(d.fd, &own) }); err != nil {
		return false, &os.PathError{Op: "stat", Path: d.Path(), Err: err}
	}
	err := sys.RetryErr(func() error { return unix.Lstat(d.Path(), &named) })
	if err == unix.ENOENT {
		return false, ErrNotExist
	}
	if err != nil {
		return false, &os.PathError{Op: "stat", Path: d.Path(), Err: err}
	}
	// An inode number is not reused while a file descriptor keeps the inode alive.
	return own.Dev == named.Dev && own.Ino == named.Ino, nil
}

// reopen replaces d's directory with the one that its path names now.
func (d *Dir) reopen() error {
	fresh, err := openDir(d.root, d.id, d.Path())
	if err != nil {
		return err
	}
	_ = d.Close()
	d.fd = fresh.fd
	return nil
}

// Read returns the record. It needs no lock: the record is always whole, though it may predate a
// concurrent Write. The error is ErrNoRecord for a container whose create did not finish,
// ErrNotExist for one that was removed since Open, ErrForeign for one of another runtime,
// ErrDamaged or ErrVersion for a record that cannot be read.
func (d *Dir) Read() (*Record, error) {
	data, err := d.readFile(recordName)
	if err == unix.ENOENT {
		err := d.foreign()
		// Checked last: the directory may be removed at any time, and what foreign saw is then void.
		if current, err := d.current(); !current {
			if err == nil {
				err = ErrNotExist
			}
			return nil, err
		}
		if err == nil {
			err = ErrNoRecord
		}
		return nil, &os.PathError{Op: "read", Path: d.Path(), Err: err}
	}
	if err == nil {
		var rec *Record
		if rec, err = parse(data); err == nil {
			return rec, nil
		}
	}
	return nil, &os.PathError{Op: "read", Path: filepath.Join(d.Path(), recordName), Err: err}
}

// foreign returns ErrForeign if the directory holds a file that orlop does not create, such as
// runc's state.json.
func (d *Dir) foreign() error {
	fd, err := d.openat(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ENOENT { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), d.Path())
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	for _, name := range names {
		switch name {
		case recordName, newName, socketName, notifyName, doomedName:
		default:
			return ErrForeign
		}
	}
	return nil
}

// readFile returns the content of a file in the directory.
func (d *Dir) readFile(name string) ([]byte, error) {
	fd, err := d.openat(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	// One read suffices for nearly every record; a second one finds the end.
	return sys.ReadAll(fd, 16<<10)
}

func (d *Dir) openat(name string, flags int) (int, error) {
	return sys.Retry(func() (int, error) {
		return unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	})
}

// Write replaces the record atomically. Only the creator may call it.
func (d *Dir) Write(rec *Record) error {
	// The name is fixed since only the creator writes. The file of a killed Write is overwritten.
	if err := d.writeFile(newName, rec.format()); err != nil {
		_ = unix.Unlinkat(d.fd, newName, 0)
		return &os.PathError{Op: "write", Path: filepath.Join(d.Path(), newName), Err: err}
	}
	// No fsync: neither the container nor its record needs to outlive the running kernel.
	if err := sys.RetryErr(func() error { return unix.Renameat(d.fd, newName, d.fd, recordName) }); err != nil {
		return &os.PathError{Op: "rename", Path: filepath.Join(d.Path(), newName), Err: err}
	}
	return nil
}

func (d *Dir) writeFile(name string, data []byte) error {
	fd, err := d.openat(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for len(data) > 0 {
		n, err := sys.Retry(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data = data[n:]
	}
	return nil
}

// Remove removes the directory and everything in it, complete or not, and closes d. The caller
// holds the Lock, and is the creator or has checked that none is at work. For others the directory
// vanishes at once: the id is free again before the files are gone.
func (d *Dir) Remove() error {
	defer d.Close()
	current, err := d.current()
	if err != nil {
		return err
	}
	if !current {
		return ErrNotExist
	}
	var tmp string
	for err = unix.EEXIST; err == unix.EEXIST; {
		tmp = filepath.Join(d.root.path, transitName())
		err = sys.RetryErr(func() error {
			return unix.Renameat2(unix.AT_FDCWD, d.Path(), unix.AT_FDCWD, tmp, unix.RENAME_NOREPLACE)
		})
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.Path(), New: tmp, Err: err}
	}
	// The lock is held until the end, which keeps sweepers off this directory.
	for _, name := range [...]string{recordName, socketName, newName, doomedName} {
		_ = unix.Unlinkat(d.fd, name, 0)
	}
	if unix.Rmdir(tmp) == nil {
		return nil
	}
	// The directory holds other files as well.
	return os.RemoveAll(tmp)
}
