package host

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestElfInterpreter compares with debug/elf, for the programs of this machine.
func TestElfInterpreter(t *testing.T) {
	seen := 0
	for _, pattern := range []string{"/bin/*", "/usr/lib/*/*.so*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names[:min(len(names), 200)] {
			f, err := os.Open(name)
			if err != nil {
				continue
			}
			if want, ok := known(f); ok {
				if got := elfInterpreter(f); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
				seen++
			}
			f.Close()
		}
	}
	if seen == 0 {
		t.Skip("this machine has no ELF programs")
	}
}

func known(f *os.File) (string, bool) {
	file, err := elf.NewFile(f)
	if err != nil {
		return "", false
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			path, err := io.ReadAll(p.Open())
			if err == nil && uint64(len(path)) < p.Filesz {
				err = io.ErrUnexpectedEOF // the kernel does not start it either
			}
			return strings.TrimRight(string(path), "\x00"), err == nil
		}
	}
	return "", true
}

// TestElfTable: a file of an image that says that it has 4 GiB of program headers costs no memory.
func TestElfTable(t *testing.T) {
	head := []byte("\x7fELF\x02\x01\x01" + strings.Repeat("\xff", 57))
	copy(head[32:40], make([]byte, 8)) // the table begins with the file
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := elfInterpreter(program); got != "" {
		t.Errorf("interpreter %q", got)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// FuzzElfInterpreter: what is found is in the file, is what debug/elf finds, and costs no memory
// beyond the limits of the kernel.
func FuzzElfInterpreter(f *testing.F) {
	if program, err := os.ReadFile("/bin/sh"); err == nil {
		f.Add(program[:min(len(program), 4096)])
	}
	f.Add([]byte("\x7fELF\x02\x01\x01" + strings.Repeat("\xff", 100)))
	f.Add(dynamic(2, "/lib64/ld-linux-x86-64.so.2\x00"))
	f.Add(dynamic(1, "/lib/ld-linux.so.2\x00"))
	file := filepath.Join(f.TempDir(), "program")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		program, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := elfInterpreter(program)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%d bytes were taken", n)
		}
		if len(got) > 4096 || !bytes.Contains(content, []byte(got)) {
			t.Errorf("%q is not in the file", got)
		}
		if !starts(content) {
			return
		}
		if want, ok := known(program); ok && len(want) <= 4096 && got != want {
			t.Errorf("%q, debug/elf finds %q", got, want)
		}
	})
}

// starts reports whether the kernel reads the program headers that a file says that it has
// (load_elf_phdrs).
func starts(content []byte) bool {
	if len(content) < 64 || elf.Data(content[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return false
	}
	size, count := binary.LittleEndian.Uint16(content[42:]), binary.LittleEndian.Uint16(content[44:])
	want := binary.Size(elf.Prog32{})
	if elf.Class(content[elf.EI_CLASS]) == elf.ELFCLASS64 {
		size, count = binary.LittleEndian.Uint16(content[54:]), binary.LittleEndian.Uint16(content[56:])
		want = binary.Size(elf.Prog64{})
	}
	return int(size) == want && want*int(count) <= 65536
}

// dynamic makes the start of a program of a class (1: 32 bits, 2: 64 bits) that names its loader.
func dynamic(class byte, loader string) []byte {
	var buf bytes.Buffer
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', class, byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if class == byte(elf.ELFCLASS64) {
		_ = binary.Write(&buf, binary.LittleEndian, elf.Header64{Ident: ident, Type: 2, Machine: 62, Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1})
		_ = binary.Write(&buf, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader))})
	} else {
		_ = binary.Write(&buf, binary.LittleEndian, elf.Header32{Ident: ident, Type: 2, Machine: 3, Version: 1, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1})
		_ = binary.Write(&buf, binary.LittleEndian, elf.Prog32{Type: uint32(elf.PT_INTERP), Off: 84, Filesz: uint32(len(loader))})
	}
	buf.WriteString(loader)
	return buf.Bytes()
}
