package nsenter

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestImage(t *testing.T) {
	p := NewProgram()
	p.Call(unix.SYS_CHDIR, p.String("/"))
	// As large as an argv and an environment may be.
	large := p.Bytes(bytes.Repeat([]byte{0xa5}, 3<<20))
	image, err := p.Image(nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(image.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if file.Type != elf.ET_EXEC || file.Machine != machine {
		t.Errorf("the image is %v for %v", file.Type, file.Machine)
	}
	var loads []*elf.Prog
	for _, s := range file.Progs {
		if s.Flags&elf.PF_W != 0 && s.Flags&elf.PF_X != 0 {
			t.Errorf("segment at %#x can be written and executed", s.Vaddr)
		}
		switch s.Type {
		case elf.PT_LOAD:
			loads = append(loads, s)
			if s.Vaddr%s.Align != s.Off%s.Align || s.Align < uint64(os.Getpagesize()) {
				t.Errorf("segment at %#x, offset %#x is not aligned to %#x", s.Vaddr, s.Off, s.Align)
			}
		case elf.PT_GNU_STACK:
			if s.Flags&elf.PF_X != 0 {
				t.Error("the stack can be executed")
			}
		default:
			t.Errorf("a segment of type %v", s.Type)
		}
	}
	if len(loads) != 2 {
		t.Fatalf("%d segments to load", len(loads))
	}
	text, data := loads[0], loads[1]
	if text.Flags != elf.PF_R|elf.PF_X || data.Flags != elf.PF_R|elf.PF_W {
		t.Errorf("the text is %v, the data %v", text.Flags, data.Flags)
	}
	if file.Entry < text.Vaddr || file.Entry >= text.Vaddr+opsOffset {
		t.Errorf("the entry point is %#x", file.Entry)
	}
	got := make([]byte, 1)
	if _, err := data.ReadAt(got, int64(large)-dataBase); err != nil || got[0] != 0xa5 {
		t.Errorf("the data at its address: %x, %v", got, err)
	}
}

func TestLargestProgram(t *testing.T) {
	p := NewProgram()
	for range maxOps - 2 {
		p.Call(unix.SYS_UMASK)
	}
	p.Call(unix.SYS_EXIT_GROUP, Int(7))
	image, err := p.Image(nil)
	if err != nil {
		t.Fatal(err)
	}
	if end := textBase + len(image.text); end > dataBase {
		t.Errorf("the text ends at %#x, behind the start of the data", end)
	}
	proc := start(t, p, Start{})
	wantEOF(t, proc.Conn)
	wantStatus(t, proc, 7)
	p.Call(unix.SYS_UMASK)
	if _, err := p.Image(nil); err == nil {
		t.Error("one more operation: no error")
	}
}

// The image cannot be changed: neither through a descriptor of it, nor through the process.
func TestSealed(t *testing.T) {
	p := NewProgram()
	p.Rendezvous(1)
	l, err := Prepare(p, Start{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", l.image.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	// Linux adds F_SEAL_EXEC to some.
	if seals, err := unix.FcntlInt(l.image.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&want != want {
		t.Errorf("the seals are %#x, %v", seals, err)
	}
	refuses(t, "the memfd", l.image)

	proc, err := l.Start(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	rendezvous(t, proc.Conn, 1)
	exe, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", proc.Pid), os.O_RDWR, 0)
	if err == nil {
		defer exe.Close()
		refuses(t, "/proc/PID/exe", exe)
	} else if !errors.Is(err, unix.ETXTBSY) && !errors.Is(err, unix.EACCES) {
		t.Error(err)
	}
	after, err := os.ReadFile(fmt.Sprintf("/proc/%d/exe", proc.Pid))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the image has changed (%v)", err)
	}
	if err := proc.Kill(); err != nil {
		t.Error(err)
	}
}

func refuses(t *testing.T, name string, f *os.File) {
	t.Helper()
	fd := int(f.Fd())
	if _, err := unix.Pwrite(fd, []byte{0xcc}, codeOffset); !errors.Is(err, unix.EPERM) {
		t.Errorf("write to %s: %v", name, err)
	}
	for _, size := range []int64{0, 1 << 20} {
		if err := unix.Ftruncate(fd, size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate %s to %d: %v", name, size, err)
		}
	}
	if b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		unix.Munmap(b)
		t.Errorf("%s can be mapped to be written to", name)
	}
}
