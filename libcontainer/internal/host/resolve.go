package host

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/specconv"
)

// maxLinks is how many symlinks the kernel follows on one path.
const maxLinks = 40

// A found is a file of the future container, before the container exists.
type found struct {
	host  string // the path on the host
	root  string // the root filesystem or the source of a mount, which contains host
	rel   string // host relative to root; "" for root itself
	info  fs.FileInfo
	link  string          // the target, if it is a symlink
	mount *specconv.Mount // nil in the root filesystem itself
	empty bool            // it is in a new tmpfs, which is still empty
}

// resolve follows a path of the container through the root filesystem and what will be mounted
// there. The error is fs.ErrNotExist or the like when there is nothing, and errUnknown below a
// filesystem that does not exist yet.
func resolve(b *specconv.Bundle, unsafePath string) (found, error) {
	left, here, links := strings.Split(unsafePath, "/"), "/", 0
	at, err := look(b, here)
	for len(left) > 0 && err == nil {
		name := left[0]
		left = left[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			here = path.Dir(here)
			at, err = look(b, here)
			continue
		}
		if !at.info.IsDir() {
			return at, unix.ENOTDIR
		}
		there := path.Join(here, name)
		if at, err = look(b, there); err != nil {
			return at, err
		}
		if at.info.Mode().Type() != fs.ModeSymlink {
			here = there
			continue
		}
		if links++; links > maxLinks {
			return at, unix.ELOOP
		}
		if path.IsAbs(at.link) {
			here = "/"
		}
		left = append(strings.Split(at.link, "/"), left...)
		if at, err = look(b, here); err != nil {
			return at, err
		}
	}
	return at, err
}

// look looks at a path of the container without links, except perhaps at its end.
func look(b *specconv.Bundle, clean string) (found, error) {
	at := found{root: b.Rootfs, rel: clean, host: filepath.Join(b.Rootfs, clean)}
	for i := range b.Mounts {
		m := &b.Mounts[i]
		rel, ok := below(m.Destination, clean)
		if !ok || m.Remount {
			continue
		}
		switch {
		case m.Bind:
			at = found{root: m.Source, rel: rel, host: filepath.Join(m.Source, rel), mount: m}
		case m.TmpCopyUp: // the same files
			at.mount = m
		case rel == "": // the root of a filesystem is a directory
			at = found{root: b.Rootfs, host: b.Rootfs, mount: m}
		case m.Type == "tmpfs" && !mountedBelow(b, i, clean):
			at = found{mount: m, empty: true}
		default:
			at = found{mount: m}
		}
	}
	switch {
	case at.empty:
		return at, unix.ENOENT
	case at.host == "":
		return at, errUnknown
	}
	err := at.stat()
	if errors.Is(err, fs.ErrNotExist) && mountedBelow(b, -1, clean) { // the runtime creates mount points
		at.info, err = os.Stat(b.Rootfs)
	}
	return at, err
}

// open opens the file with O_PATH, which does not activate it, and without following it. The image
// is hostile and a volume may change: no symlink leads out of the root, and the file may have been
// replaced since it was found.
func (at *found) open() (*os.File, error) {
	root, err := sys.Open(at.root, unix.O_PATH)
	if err != nil || at.rel == "" || at.rel == "/" {
		return root, err
	}
	defer root.Close()
	f, err := sys.OpenInRoot(root, at.rel, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at.host, Err: errors.Unwrap(err)}
	}
	return f, nil
}

// stat sets info and link.
func (at *found) stat() error {
	f, err := at.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if at.info, err = f.Stat(); err != nil || at.info.Mode().Type() != fs.ModeSymlink {
		return err
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", target)
	at.link = string(target[:max(n, 0)])
	return err
}

// read opens a regular file that was found. The error is errChanged when it is another one by now.
func (at *found) read() (*os.File, error) {
	f, err := at.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !now.Mode().IsRegular() || !os.SameFile(now, at.info) {
		return nil, errChanged
	}
	return sys.Reopen(f, unix.O_RDONLY|unix.O_NONBLOCK)
}

var errChanged = errors.New("the file has changed meanwhile")

// mountedBelow reports whether a mount after the one with this index lies on a path or below it.
func mountedBelow(b *specconv.Bundle, after int, clean string) bool {
	for i := after + 1; i < len(b.Mounts); i++ {
		if _, ok := below(clean, b.Mounts[i].Destination); ok {
			return true
		}
	}
	return false
}

// below returns p relative to dir if it is dir or lies below it. Both are absolute and clean.
func below(dir, p string) (string, bool) {
	if dir == "/" {
		return strings.TrimPrefix(p, "/"), true
	}
	if p == dir {
		return "", true
	}
	return strings.CutPrefix(p, dir+"/")
}

// isUnknown reports whether an error says that the caller cannot find out, not that there is nothing.
func isUnknown(err error) bool {
	return errors.Is(err, errUnknown) || errors.Is(err, fs.ErrPermission)
}
