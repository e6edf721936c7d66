package cgroups

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// A controlFile writes values to control files, and keeps the last one open, because device rules
// are many writes to one file. It uses bare descriptors, since os.File would try to register each
// with epoll, which costs more than the write.
type controlFile struct {
	path string
	fd   int
}

func (c *controlFile) write(path, value string) error {
	if c.path != path {
		c.close()
		fd, err := sys.OpenFd(path, unix.O_WRONLY)
		if err != nil {
			return err
		}
		c.path, c.fd = path, fd
	}
	return writeAll(c.fd, value)
}

func (c *controlFile) close() {
	if c.path != "" {
		unix.Close(c.fd)
		c.path = ""
	}
}

// writeFile writes a control file. It never creates one: outside a cgroup filesystem it fails.
func writeFile(path, value string) error {
	fd, err := sys.OpenFd(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

// writeAll writes value with one call, as control files require. A short write is an error: the
// kernel has set another value.
func writeAll(fd int, value string) error {
	n, err := sys.Retry(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if err == nil && n != len(value) {
		err = unix.EIO
	}
	return err
}

// readFile reads a whole control file.
func readFile(path string) (string, error) {
	fd, err := sys.OpenFd(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	text, err := sys.ReadAll(fd, 512)
	return string(text), err
}

// readPresent is readFile for a file that need not be there: present is false if it is absent.
func readPresent(path string) (text string, present bool, err error) {
	text, err = readFile(path)
	switch {
	case err == nil:
		return text, true, nil
	case absent(err):
		return "", false, nil
	}
	return "", false, fmt.Errorf("read %s: %w", path, err)
}

// absent reports whether an error means that there is no such control file: the kernel does not
// have it, or not for this cgroup (a threaded one) or this boot (pressure without psi=1), or the
// cgroup is gone.
func absent(err error) bool {
	return err == unix.ENOENT || err == unix.ENODEV || err == unix.EOPNOTSUPP
}
