package libcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// copyUp copies what the folder from of the image holds into the folder to, a tmpfs that nobody else sees yet: files, folders, links
// and special files, with owner, mode, extended attributes and times. Both are descriptors, and nothing is followed on the way, so what the image
// holds cannot lead out of it.
func copyUp(from, to *os.File) error {
	if from == nil || to == nil {
		return errors.New("tmpcopyup: the process sent no descriptor")
	}
	// The image's folder came as an O_PATH descriptor.
	src, err := openAt(from, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("tmpcopyup: %w", err)
	}
	defer src.Close()
	dst, err := openAt(to, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("tmpcopyup: %w", err)
	}
	defer dst.Close()
	if err := copyFolder(src, dst, "."); err != nil {
		return fmt.Errorf("tmpcopyup: %w", err)
	}
	return nil
}

func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// copyFolder copies the entries of src and then src's own attributes. displayPath is for messages.
func copyFolder(src, dst *os.File, displayPath string) error {
	entries, err := src.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyEntry(src, dst, e.Name(), path.Join(displayPath, e.Name())); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: displayPath, Err: err}
	}
	return copyAttributes(src, dst, &st, displayPath)
}

// copyEntry copies one entry. It opens the entry once, without following or activating it, and looks at
// and reads only what it has opened: a neighbor that shares the volume may exchange the name meanwhile.
func copyEntry(src, dst *os.File, name, displayPath string) error {
	fail := func(op string, err error) error { return &os.PathError{Op: op, Path: displayPath, Err: err} }
	entry, err := openAt(src, name, unix.O_PATH)
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
		if err := unix.Mkdirat(int(dst.Fd()), name, 0o700); err != nil {
			return fail("mkdir", err)
		}
		from, err := openAt(entry, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := openAt(dst, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer to.Close()
		return copyFolder(from, to, displayPath)
	case unix.S_IFREG:
		from, err := reopen(entry, unix.O_RDONLY|unix.O_NONBLOCK)
		if err != nil {
			return fail("open", err)
		}
		defer from.Close()
		to, err := openAt(dst, name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := copyData(from, to, st.Size); err != nil {
			return fail("copy", err)
		}
		return copyAttributes(from, to, &st, displayPath)
	case unix.S_IFLNK:
		return copyLink(entry, dst, name, &st, fail)
	default:
		if err := unix.Mknodat(int(dst.Fd()), name, st.Mode, int(st.Rdev)); err != nil {
			return fail("mknod", err)
		}
		if err := unix.Fchownat(int(dst.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fail("chown", err)
		}
		// Once more, since the runtime's umask held for mknod. It is no link, and nobody else is here to make one of it.
		if err := unix.Fchmodat(int(dst.Fd()), name, st.Mode&0o7777, 0); err != nil {
			return fail("chmod", err)
		}
		return nil
	}
}

// reopen opens the file that an O_PATH descriptor stands for.
func reopen(f *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// copyData copies a file of this size. Its holes stay holes: they cost the target no memory.
func copyData(from, to *os.File, size int64) error {
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
		part := io.NewSectionReader(from, data, min(end, size)-data)
		if _, err := io.Copy(io.NewOffsetWriter(to, data), part); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// copyLink copies a symbolic link, of which entry is an O_PATH descriptor.
func copyLink(entry, dst *os.File, name string, st *unix.Stat_t, fail func(string, error) error) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(entry.Fd()), "", buf)
	if err != nil {
		return fail("readlink", err)
	}
	if err := unix.Symlinkat(string(buf[:n]), int(dst.Fd()), name); err != nil {
		return fail("symlink", err)
	}
	if err := unix.Fchownat(int(dst.Fd()), name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("chown", err)
	}
	return nil
}

func copyAttributes(src, dst *os.File, st *unix.Stat_t, displayPath string) error {
	fd := int(dst.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: displayPath, Err: err}
	}
	// After the change of the owner, which clears the set-id bits.
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: displayPath, Err: err}
	}
	if err := copyXattrs(int(src.Fd()), fd); err != nil {
		return &os.PathError{Op: "copy the extended attributes of", Path: displayPath, Err: err}
	}
	times := []unix.Timeval{unix.NsecToTimeval(st.Atim.Nano()), unix.NsecToTimeval(st.Mtim.Nano())}
	if err := unix.Futimes(fd, times); err != nil {
		return &os.PathError{Op: "utimes", Path: displayPath, Err: err}
	}
	return nil
}

// copyXattrs copies extended attributes as far as tmpfs takes them.
func copyXattrs(src, dst int) error {
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
		err = unix.Fsetxattr(dst, name, value[:n], 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return err
		}
	}
	return nil
}

// xattrNames splits a list of names, each of which ends with a zero. There may be none although a size was told before: fuse-overlayfs counts
// its own, which it then leaves out.
func xattrNames(list []byte) []string {
	return strings.FieldsFunc(string(list), func(r rune) bool { return r == 0 })
}
