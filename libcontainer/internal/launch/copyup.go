package launch

import (
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/proxy"
	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A Copier copies a directory of the image into a tmpfs (tmpcopyup). It reads the image itself, but
// a process in the container's cgroup creates everything that takes memory: files, directories,
// symlinks, extended attributes and data. The memory is thus charged to the container.
type Copier struct {
	Start func() (*proxy.Process, error)
	Proc  *proxy.Process // nil until it is needed
}

// Copy copies the content of the image's directory from into the directory to, a tmpfs that nobody
// else sees yet: files, directories, symlinks and special files, with owner, mode, extended
// attributes and times. Both are file descriptors, and Copy follows no symlink: the image's content
// cannot lead out of it. The attributes that options set on the tmpfs stay.
func (c *Copier) Copy(from, to *os.File, options []string) error {
	// The image's directory is open with O_PATH.
	src, err := sys.OpenAt(from, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := sys.OpenAt(to, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dst.Close()
	var own unix.Stat_t
	if err := unix.Fstat(int(dst.Fd()), &own); err != nil {
		return &os.PathError{Op: "stat", Path: ".", Err: err}
	}
	if err := c.copyDirectory(src, dst, "."); err != nil {
		return err
	}
	return restoreOptions(dst, &own, options)
}

// restoreOptions restores the owner and the mode of a tmpfs that its options set.
func restoreOptions(dst *os.File, own *unix.Stat_t, options []string) error {
	uid, gid, mode := -1, -1, false
	for _, o := range options {
		switch name, _, _ := strings.Cut(o, "="); name {
		case "uid":
			uid = int(own.Uid)
		case "gid":
			gid = int(own.Gid)
		case "mode":
			mode = true
		}
	}
	if uid >= 0 || gid >= 0 {
		if err := dst.Chown(uid, gid); err != nil {
			return err
		}
	}
	if mode {
		if err := unix.Fchmod(int(dst.Fd()), own.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: ".", Err: err}
		}
	}
	return nil
}

// process returns the process that creates the copies. It starts it the first time.
func (c *Copier) process() (_ *proxy.Process, err error) {
	if c.Proc == nil {
		c.Proc, err = c.Start()
	}
	return c.Proc, err
}

// call makes a system call in the process.
func (c *Copier) call(number uintptr, args ...proxy.Arg) (int, error) {
	p, err := c.process()
	if err != nil {
		return 0, err
	}
	return p.Call(number, args...)
}

func fdOf(f *os.File) proxy.Int { return proxy.Int(f.Fd()) }

// copyDirectory copies the entries of src and then the attributes of src. displayPath is for
// messages.
func (c *Copier) copyDirectory(src, dst *os.File, displayPath string) error {
	entries, err := src.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.copyEntry(src, dst, e.Name(), path.Join(displayPath, e.Name())); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: displayPath, Err: err}
	}
	return c.copyAttributes(src, dst, &st, displayPath)
}

// copyEntry copies one entry. It opens the entry once, without following or activating it, and then
// uses only the open file: a neighbor that shares the volume may replace the entry meanwhile.
func (c *Copier) copyEntry(src, dst *os.File, name, displayPath string) error {
	fail := func(op string, err error) error { return &os.PathError{Op: op, Path: displayPath, Err: err} }
	entry, err := sys.OpenAt(src, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer entry.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(entry.Fd()), &st); err != nil {
		return fail("stat", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if _, err := c.call(unix.SYS_MKDIRAT, fdOf(dst), proxy.Text(name), proxy.Int(0o700)); err != nil {
			return fail("mkdir", err)
		}
		from, err := sys.OpenAt(entry, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := sys.OpenAt(dst, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer to.Close()
		return c.copyDirectory(from, to, displayPath)
	case unix.S_IFREG:
		from, err := sys.Reopen(entry, unix.O_RDONLY|unix.O_NONBLOCK)
		if errors.Is(err, unix.EAGAIN) {
			return fail("open", sys.ErrLeased)
		}
		if err != nil {
			return fail("open", err)
		}
		defer from.Close()
		const flags = unix.O_CREAT | unix.O_EXCL | unix.O_RDWR | unix.O_CLOEXEC
		fd, err := c.call(unix.SYS_OPENAT, fdOf(dst), proxy.Text(name), proxy.Int(flags), proxy.Int(0o600))
		if err != nil {
			return fail("open", err)
		}
		to := os.NewFile(uintptr(fd), name)
		defer to.Close()
		if err := c.copyData(from, to, st.Size); err != nil {
			return fail("copy", err)
		}
		return c.copyAttributes(from, to, &st, displayPath)
	case unix.S_IFLNK:
		return c.copyLink(entry, dst, name, &st, fail)
	default:
		if _, err := c.call(unix.SYS_MKNODAT, fdOf(dst), proxy.Text(name), proxy.Int(st.Mode), proxy.Int(st.Rdev)); err != nil {
			return fail("mknod", err)
		}
		if err := unix.Fchownat(int(dst.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fail("chown", err)
		}
		// The runtime's umask applied to mknod. This is not a symlink, and nobody else can access
		// the tmpfs to replace it by one.
		if err := unix.Fchmodat(int(dst.Fd()), name, st.Mode&0o7777, 0); err != nil {
			return fail("chmod", err)
		}
		return nil
	}
}

// copyData copies a file of this size. It preserves holes, which cost the target no memory.
func (c *Copier) copyData(from, to *os.File, size int64) error {
	if err := to.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= size { // only a hole is left
			return nil
		}
		if err != nil {
			return err
		}
		end, err := from.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := c.copyPart(from, to, data, min(end, size)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// copyPart copies the data between two offsets of a file, or up to its end if that comes first.
func (c *Copier) copyPart(from, to *os.File, at, end int64) error {
	p, err := c.process()
	if err != nil {
		return err
	}
	buf := p.Data()
	for at < end {
		n, err := from.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			return nil
		}
		for done := 0; done < n; {
			written, err := p.Call(unix.SYS_PWRITE64, fdOf(to), proxy.DataAt(done), proxy.Int(n-done), proxy.Int(at)+proxy.Int(done))
			if err != nil {
				return err
			}
			done += written
		}
		at += int64(n)
	}
	return nil
}

// copyLink copies the symlink that is open with O_PATH as entry.
func (c *Copier) copyLink(entry, dst *os.File, name string, st *unix.Stat_t, fail func(string, error) error) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(entry.Fd()), "", buf)
	if err != nil {
		return fail("readlink", err)
	}
	if _, err := c.call(unix.SYS_SYMLINKAT, proxy.Text(buf[:n]), fdOf(dst), proxy.Text(name)); err != nil {
		return fail("symlink", err)
	}
	if err := unix.Fchownat(int(dst.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("chown", err)
	}
	return nil
}

func (c *Copier) copyAttributes(src, dst *os.File, st *unix.Stat_t, displayPath string) error {
	fd := int(dst.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: displayPath, Err: err}
	}
	// After the chown, which clears the set-id bits.
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: displayPath, Err: err}
	}
	if err := c.copyXattrs(src, dst); err != nil {
		return &os.PathError{Op: "copy the extended attributes of", Path: displayPath, Err: err}
	}
	times := []unix.Timeval{unix.NsecToTimeval(st.Atim.Nano()), unix.NsecToTimeval(st.Mtim.Nano())}
	if err := unix.Futimes(fd, times); err != nil {
		return &os.PathError{Op: "utimes", Path: displayPath, Err: err}
	}
	return nil
}

// copyXattrs copies the extended attributes that tmpfs supports.
func (c *Copier) copyXattrs(from, to *os.File) error {
	src := int(from.Fd())
	size, err := unix.Flistxattr(src, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(src, list); err != nil {
		return err
	}
	for _, name := range xattrNames(list[:size]) {
		n, err := unix.Fgetxattr(src, name, nil)
		if err != nil {
			return err
		}
		value := make([]byte, n)
		if n, err = unix.Fgetxattr(src, name, value); err != nil {
			return err
		}
		_, err = c.call(unix.SYS_FSETXATTR, fdOf(to), proxy.Text(name), proxy.Text(value[:n]), proxy.Int(n), proxy.Int(0))
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

// xattrNames splits a list of zero-terminated names. The list may be empty although its size was
// not: fuse-overlayfs counts its own attributes but does not list them.
func xattrNames(list []byte) []string {
	return strings.FieldsFunc(string(list), func(r rune) bool { return r == 0 })
}
