package resctrl

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mount mounts a new file system on a folder, until the test ends. The test needs root, and a mount namespace of its own.
func Mount(t testing.TB, dir string) {
	t.Helper()
	// No os.File: before the mount, the device tells epoll of an error, and the poller would never try it again.
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs FUSE: ", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev)
	if err := unix.Mount("resctrl", dir, "fuse.resctrl", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(dev)
		t.Fatalf("mount a FUSE file system: %v", err)
	}
	s := &server{dev: dev, tree: newTree()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.serve(); err != unix.ENODEV { // the end of the file system
			t.Errorf("FUSE: %v", err)
		}
	}()
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE); err != nil {
			t.Error(err)
		}
		<-done
		unix.Close(dev)
	})
}

// MountInfo writes a copy of the test's own mountinfo in which the file system on dir is one of type resctrl, for others to be shown in
// place of theirs.
func MountInfo(t testing.TB, dir, file string) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), " "+dir+" ") {
		t.Fatalf("nothing is mounted on %s", dir)
	}
	text := strings.Replace(string(data), " fuse.resctrl resctrl ", " resctrl resctrl ", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Show is a command that runs another with this mountinfo in place of its own; it needs a mount namespace that it may change.
func Show(file string) []string {
	return []string{"sh", "-c", `mount --bind "$0" /proc/$$/mountinfo && exec "$@"`, file}
}

// A server speaks the kernel's protocol (include/uapi/linux/fuse.h).
type server struct {
	dev  int
	tree *tree
}

// Requests.
const (
	opLookup  = 1
	opForget  = 2
	opGetattr = 3
	opSetattr = 4
	opMkdir   = 9
	opRmdir   = 11
	opOpen    = 14
	opRead    = 15
	opWrite   = 16
	opStatfs  = 17
	opRelease = 18
	opFlush   = 25
	opInit    = 26
	opOpendir = 27
	opReaddir = 28
	opRelDir  = 29
	opInterr  = 36
	opBatch   = 42
)

type inHeader struct {
	Len, Opcode        uint32
	Unique, Node       uint64
	Uid, Gid, Pid, Ext uint32
}

type attr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                 uint64
	Atimensec, Mtimensec, Ctimensec, Mode, Nlink, Uid, Gid uint32
	Rdev, Blksize, Flags                                   uint32
}

type entryOut struct {
	Node, Generation, EntryValid, AttrValid uint64
	EntryNsec, AttrNsec                     uint32
	Attr                                    attr
}

type attrOut struct {
	Valid       uint64
	Nsec, Dummy uint32
	Attr        attr
}

type ioIn struct {
	Fh, Offset  uint64
	Size, Flags uint32
	Owner       uint64
	Open, Pad   uint32
}

// serve answers requests until the file system is gone.
func (s *server) serve() error {
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(s.dev, buf)
		switch err {
		case unix.EINTR, unix.ENOENT, unix.ECONNABORTED: // the request was taken back, by who asked or by the end of the file system
			continue
		}
		if err != nil {
			return err
		}
		var h inHeader
		size := int(unsafe.Sizeof(h))
		if _, err := binary.Decode(buf[:n], binary.NativeEndian, &h); err != nil {
			return err
		}
		switch h.Opcode {
		case opForget, opBatch, opInterr:
			continue
		}
		s.tree.mu.Lock()
		out, errno := s.answer(&h, buf[size:n])
		s.tree.mu.Unlock()
		reply := binary.NativeEndian.AppendUint32(nil, uint32(16+len(out)))
		reply = binary.NativeEndian.AppendUint32(reply, uint32(-int32(errno)))
		reply = append(binary.NativeEndian.AppendUint64(reply, h.Unique), out...)
		unix.Write(s.dev, reply) // who asked may be gone
	}
}

func (s *server) answer(h *inHeader, in []byte) ([]byte, unix.Errno) {
	if h.Opcode == opInit {
		return encode(struct {
			Major, Minor, Readahead, Flags uint32
			Background, Congestion         uint16
			MaxWrite, Gran                 uint32
			Pages, Align                   uint16
			Rest                           [8]uint32
		}{Major: 7, Minor: 31, MaxWrite: 1 << 16, Gran: 1}), 0
	}
	n := s.tree.nodes[h.Node]
	if n == nil {
		return nil, unix.ENOENT
	}
	switch h.Opcode {
	case opLookup:
		return entry(n.child(name(in)))
	case opGetattr, opSetattr:
		return encode(attrOut{Attr: n.attr()}), 0
	case opMkdir:
		made, errno := s.tree.mkdir(n, name(in[8:]))
		if errno != 0 {
			return nil, errno
		}
		return entry(made)
	case opRmdir:
		return nil, s.tree.rmdir(n, name(in))
	case opOpen, opOpendir:
		return encode(struct {
			Fh             uint64
			Flags, Backing uint32
		}{Flags: 1}), 0 // FOPEN_DIRECT_IO
	case opRelease, opRelDir, opFlush:
		return nil, 0
	case opStatfs:
		return make([]byte, 80), 0
	case opRead, opReaddir, opWrite:
		return n.transfer(h, in)
	}
	return nil, unix.ENOSYS
}

// transfer reads or writes.
func (n *node) transfer(h *inHeader, in []byte) ([]byte, unix.Errno) {
	var io ioIn
	size, err := binary.Decode(in, binary.NativeEndian, &io)
	if err != nil {
		return nil, unix.EINVAL
	}
	var content []byte
	switch {
	case h.Opcode == opWrite && n.write == nil:
		return nil, unix.EACCES
	case h.Opcode == opWrite:
		if errno := n.write(int(h.Pid), string(in[size:])); errno != 0 {
			return nil, errno
		}
		return encode([2]uint32{io.Size, 0}), 0
	case h.Opcode == opReaddir:
		content = n.entries(io.Offset, int(io.Size))
		return content, 0
	case n.read != nil:
		content = []byte(n.read())
	}
	content = content[min(io.Offset, uint64(len(content))):]
	return content[:min(int(io.Size), len(content))], 0
}

// entries lists a folder from an entry on.
func (n *node) entries(from uint64, size int) (list []byte) {
	for i := int(from); i < len(n.list); i++ {
		c, one := n.list[i], []byte(nil)
		kind := uint32(unix.DT_REG)
		if c.dir {
			kind = unix.DT_DIR
		}
		one = encode(struct {
			Ino, Off  uint64
			Len, Kind uint32
		}{c.id, uint64(i + 1), uint32(len(c.name)), kind})
		one = append(one, c.name...)
		one = append(one, make([]byte, -len(one)&7)...)
		if len(list)+len(one) > size {
			break
		}
		list = append(list, one...)
	}
	return list
}

func (n *node) attr() attr {
	a := attr{Ino: n.id, Mode: unix.S_IFREG | 0o444, Nlink: 1, Blksize: 4096}
	switch {
	case n.dir:
		a.Mode = unix.S_IFDIR | 0o755
	case n.write != nil:
		a.Mode = unix.S_IFREG | 0o644
	}
	return a
}

func entry(n *node) ([]byte, unix.Errno) {
	if n == nil {
		return nil, unix.ENOENT
	}
	return encode(entryOut{Node: n.id, Attr: n.attr()}), 0
}

// name is a request's string.
func name(in []byte) string {
	before, _, _ := bytes.Cut(in, []byte{0})
	return filepath.Base(string(before))
}

func encode(v any) []byte {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		panic(err) // a type without a size
	}
	return b
}
