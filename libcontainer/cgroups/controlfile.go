package cgroups

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// A controlFile writes values into control files, and keeps the last one open: device rules are many writes into one.
// It uses bare descriptors, since os.File would try each with epoll, which costs more than the write.
type controlFile struct {
	path string
	fd   int
}

func (c *controlFile) write(path, value string) error {
	if c.path != path {
		c.close()
		fd, err := open(path, unix.O_WRONLY)
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

// writeFile writes a control file. It never makes one: where the path is not in a cgroup file system, it fails.
func writeFile(path, value string) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, value)
}

func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// writeAll writes value with one call, as control files want it. A short write is an error: the kernel took another value.
func writeAll(fd int, value string) error {
	for {
		n, err := unix.Write(fd, []byte(value))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n != len(value):
			return syscall.EIO
		default:
			return nil
		}
	}
}

// readFile reads a control file whole.
func readFile(path string) (string, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readAll(fd, 512)
}

// readAll reads to the end; size is a guess.
func readAll(fd, size int) (string, error) {
	buf := make([]byte, 0, size)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case n == 0:
			return string(buf), nil
		default:
			buf = buf[:len(buf)+n]
			if len(buf) == cap(buf) {
				buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
			}
		}
	}
}
