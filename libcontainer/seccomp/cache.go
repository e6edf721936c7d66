package seccomp

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// A cache is a directory with one file for each compiled profile. Anyone who can write there
// controls what containers may do, so only the caller may be able to: a directory or a file of
// another owner, or one that others can write, is not used. No problem with the cache is an error:
// it only saves work.
//
// A file contains the length of the key, and a hash of what follows, of eight bytes each; the key;
// and the program. The hash detects data that a disk has lost.
type cache struct{ dir *os.File }

const (
	maxProgram = 4096 * 8 // BPF_MAXINSNS instructions
	headSize   = 16
)

// fileOf returns the content of a file.
func fileOf(k key, program []byte) []byte {
	data := make([]byte, headSize, headSize+len(k)+len(program))
	data = append(append(data, k...), program...)
	binary.LittleEndian.PutUint64(data, uint64(len(k)))
	binary.LittleEndian.PutUint64(data[8:], hash(data[headSize:]))
	return data
}

// programOf returns the program of a file for a key, nil if it has none.
func programOf(k key, data []byte) []byte {
	if len(data) <= headSize+len(k) || binary.LittleEndian.Uint64(data) != uint64(len(k)) ||
		binary.LittleEndian.Uint64(data[8:]) != hash(data[headSize:]) || !bytes.Equal(data[headSize:headSize+len(k)], k) {
		return nil
	}
	program := data[headSize+len(k):]
	if len(program)%8 != 0 || len(program) > maxProgram {
		return nil
	}
	return program
}

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

// own reports whether the caller owns a file, and nobody else can write to it.
func own(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && int(st.Uid) == unix.Geteuid() && st.Mode&0o022 == 0
}

func (c *cache) close() {
	if c.dir != nil {
		c.dir.Close()
	}
}

// get returns a program, nil if there is none or it is damaged.
func (c *cache) get(k key) []byte {
	if c.dir == nil {
		return nil
	}
	fd, err := unix.Openat(int(c.dir.Fd()), k.name(), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if !own(fd) {
		return nil
	}
	data := make([]byte, headSize+len(k)+maxProgram+1)
	n, err := unix.Read(fd, data)
	if err != nil {
		return nil
	}
	return programOf(k, data[:n])
}

// put stores a program. The file gets its name once it is complete.
func (c *cache) put(k key, program []byte) {
	if c.dir == nil {
		return
	}
	f, err := os.CreateTemp(c.dir.Name(), "new")
	if err != nil {
		return
	}
	defer f.Close()
	_, err = f.Write(fileOf(k, program))
	if err == nil {
		err = unix.Renameat(unix.AT_FDCWD, f.Name(), int(c.dir.Fd()), k.name())
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
