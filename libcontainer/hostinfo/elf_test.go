package hostinfo

import (
	"debug/elf"
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

func FuzzElfInterpreter(f *testing.F) {
	if program, err := os.ReadFile("/bin/sh"); err == nil {
		f.Add(program[:min(len(program), 4096)])
	}
	f.Add([]byte("\x7fELF\x02\x01\x01" + strings.Repeat("\xff", 100)))
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
		elfInterpreter(program)
	})
}
