package host

import (
	"encoding/binary"
	"io/fs"
	"os"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// An elfLayout holds the offsets of fields in a class of ELF files (elf(5)).
type elfLayout struct {
	tableAt, sizeAt, countAt int // of the program headers, in the file's header
	offsetAt, lengthAt       int // of a segment, in its program header
	headerSize               int // of a program header
	word                     int // bytes of an address
}

// elfInterpreter returns the path of a dynamic program's loader, "" when it has none or is broken.
// It reads only little-endian files. debug/elf would link decompression of debug sections, which
// every start of the runtime would pay for.
func elfInterpreter(f *os.File) string {
	// PT_INTERP, PATH_MAX, and the kernel's limit on program headers (load_elf_phdrs): a hostile
	// file could claim 4 GiB of them.
	const interp, maxPath, maxTable = 3, 4096, 65536
	head := make([]byte, 64)
	if _, err := f.ReadAt(head, 0); err != nil {
		return ""
	}
	layout := elfLayout{tableAt: 28, sizeAt: 42, countAt: 44, offsetAt: 4, lengthAt: 16, headerSize: 32, word: 4}
	if head[4] == 2 { // ELFCLASS64
		layout = elfLayout{tableAt: 32, sizeAt: 54, countAt: 56, offsetAt: 8, lengthAt: 32, headerSize: 56, word: 8}
	}
	size, count := int(binary.LittleEndian.Uint16(head[layout.sizeAt:])), int(binary.LittleEndian.Uint16(head[layout.countAt:]))
	if size != layout.headerSize || size*count > maxTable {
		return ""
	}
	table := make([]byte, size*count)
	if _, err := f.ReadAt(table, layout.number(head[layout.tableAt:])); err != nil {
		return ""
	}
	for ; len(table) >= size; table = table[size:] {
		if binary.LittleEndian.Uint32(table) != interp {
			continue
		}
		length := layout.number(table[layout.lengthAt:])
		if length < 0 || length > maxPath {
			return ""
		}
		path := make([]byte, length)
		if _, err := f.ReadAt(path, layout.number(table[layout.offsetAt:])); err != nil {
			return ""
		}
		return strings.TrimRight(string(path), "\x00")
	}
	return ""
}

// number reads an address or an offset.
func (l *elfLayout) number(b []byte) int64 {
	if l.word == 8 {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return int64(binary.LittleEndian.Uint32(b))
}

func ownerOf(info fs.FileInfo) specs.User {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return specs.User{}
	}
	return specs.User{UID: st.Uid, GID: st.Gid}
}
