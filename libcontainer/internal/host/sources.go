package host

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/specconv/jsonpath"
)

// sourceFacts finds the bind mounts whose source is not a directory, and those whose source does
// not exist yet.
func sourceFacts(b *specconv.Bundle, f *setup.Facts) error {
	f.SourceIsFile = make([]bool, len(b.Mounts))
	for i := range b.Mounts {
		m := &b.Mounts[i]
		if !m.Bind || m.Remount {
			continue
		}
		if target, err := sourceLink(m); err != nil {
			return err
		} else if target != "" {
			put(&f.SourceLink, b, i, target)
			continue
		}
		inside, below := strings.CutPrefix(m.Source, strings.TrimSuffix(b.Rootfs, "/")+"/")
		look := os.Stat
		if m.SourceNoFollow {
			look = os.Lstat
		}
		info, err := look(m.Source)
		if below && (covered(b.Mounts[:i], "/"+inside) || i > 0 && errors.Is(err, unix.ENOENT)) {
			put(&f.SourceInRoot, b, i, "/"+inside)
			continue
		}
		if err != nil {
			return &specconv.FieldError{Path: jsonpath.Index("mounts", m.Index) + ".source", Err: err}
		}
		f.SourceIsFile[i] = !info.IsDir()
	}
	return nil
}

// covered reports whether one of the mounts lies on a path of the container or above it.
func covered(mounts []specconv.Mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m specconv.Mount) bool {
		_, ok := below(m.Destination, path)
		return ok
	})
}

// put sets what a list of facts has for mount i of a bundle.
func put[T any](list *[]T, b *specconv.Bundle, i int, fact T) {
	if *list == nil {
		*list = make([]T, len(b.Mounts))
	}
	(*list)[i] = fact
}

// sourceLink returns the target of the source of a mount with copy-symlink, "" if it is no symlink.
func sourceLink(m *specconv.Mount) (string, error) {
	if !m.CopySymlink {
		return "", nil
	}
	target, err := os.Readlink(m.Source)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: not a symlink
		return "", &specconv.FieldError{Path: jsonpath.Index("mounts", m.Index) + ".source", Err: err}
	}
	return target, nil
}
