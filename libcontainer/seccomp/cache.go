package seccomp

import (
	"bytes"
	"crypto/sha256"
	"os"

	"golang.org/x/sys/unix"
)

// A cache is a folder with one file for each compiled profile: the SHA-256 of the program, and the program. Whoever can write there decides what
// containers may do, so only the caller may be able to: a folder or a file of another owner, or that others can write, is not used.
// Nothing about the cache is an error: it only spares work.
type cache struct{ dir *os.File }

// maxProgram is BPF_MAXINSNS instructions.
const maxProgram = 4096 * 8

func openCache(path string) *cache {
	if path == "" {
		return &cache{}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return &cache{}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &cache{}
	}
	dir := os.NewFile(uintptr(fd), path)
	if !own(fd) {
		dir.Close()
		return &cache{}
	}
	return &cache{dir}
}

// own reports whether a file is the caller's, and nobody else can write to it.
func own(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && int(st.Uid) == unix.Geteuid() && st.Mode&0o022 == 0
}

func (c *cache) close() {
	if c.dir != nil {
		c.dir.Close()
	}
}

// get returns a program, nil if there is none, or none that is whole.
func (c *cache) get(name string) []byte {
	if c.dir == nil {
		return nil
	}
	fd, err := unix.Openat(int(c.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if !own(fd) {
		return nil
	}
	data := make([]byte, sha256.Size+maxProgram+1)
	n, err := unix.Read(fd, data)
	if err != nil || n < sha256.Size || n == len(data) {
		return nil
	}
	program := data[sha256.Size:n]
	if sum := sha256.Sum256(program); !bytes.Equal(sum[:], data[:sha256.Size]) || len(program)%8 != 0 || len(program) == 0 {
		return nil
	}
	return program
}

// put keeps a program. It shows under its name when it is whole.
func (c *cache) put(name string, program []byte) {
	if c.dir == nil {
		return
	}
	f, err := os.CreateTemp(c.dir.Name(), "new")
	if err != nil {
		return
	}
	defer f.Close()
	sum := sha256.Sum256(program)
	_, err = f.Write(append(sum[:], program...))
	if err == nil {
		err = unix.Renameat(unix.AT_FDCWD, f.Name(), int(c.dir.Fd()), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
