package hostinfo

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv"
)

// maxLinks is how many symbolic links the kernel follows on one path.
const maxLinks = 40

// A found is a file of the container as it will be, before the container is there.
type found struct {
	host  string // where the host has it
	info  fs.FileInfo
	mount *specconv.Mount // nil in the root file system itself
	empty bool            // it is in a new tmpfs, in which nothing is yet
}

// resolve follows a path of the container through the root file system and what will be mounted there. The error is fs.ErrNotExist and
// the like when there is nothing, and errUnknown when that cannot be told: below a file system that is not there yet.
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
		target, err := os.Readlink(at.host)
		if err != nil {
			return at, err
		}
		if path.IsAbs(target) {
			here = "/"
		}
		left = append(strings.Split(target, "/"), left...)
		if at, err = look(b, here); err != nil {
			return at, err
		}
	}
	return at, err
}

// look looks at a path of the container that has no links in it but perhaps for its end.
func look(b *specconv.Bundle, clean string) (found, error) {
	at := found{host: filepath.Join(b.Rootfs, clean)}
	for i := range b.Mounts {
		m := &b.Mounts[i]
		rel, ok := below(m.Destination, clean)
		if !ok || m.Remount {
			continue
		}
		switch {
		case m.Bind:
			at = found{host: filepath.Join(m.Source, rel), mount: m}
			if rel == "" {
				at.host, _ = filepath.EvalSymlinks(m.Source)
			}
		case m.TmpCopyUp: // the same files
			at.mount = m
		case rel == "": // what a file system is mounted on is a folder
			at = found{host: b.Rootfs, mount: m}
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
	info, err := os.Lstat(at.host)
	if errors.Is(err, fs.ErrNotExist) && mountedBelow(b, -1, clean) { // the way to a mount point is made
		info, err = os.Lstat(b.Rootfs)
	}
	at.info = info
	return at, err
}

// mountedBelow reports whether a mount after that with an index lies on a path or below it.
func mountedBelow(b *specconv.Bundle, after int, clean string) bool {
	for i := after + 1; i < len(b.Mounts); i++ {
		if _, ok := below(clean, b.Mounts[i].Destination); ok {
			return true
		}
	}
	return false
}

// below gives p relative to dir when it is dir or lies under it. Both are absolute and clean.
func below(dir, p string) (string, bool) {
	if dir == "/" {
		return strings.TrimPrefix(p, "/"), true
	}
	if p == dir {
		return "", true
	}
	return strings.CutPrefix(p, dir+"/")
}

// untold reports whether an error says that one cannot find out, not that there is nothing.
func untold(err error) bool {
	return errors.Is(err, errUnknown) || errors.Is(err, fs.ErrPermission)
}
