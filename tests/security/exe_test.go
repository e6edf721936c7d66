package security

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// Attacks on the runtime's binary, through what a container sees of its processes.

// TestCVE2019_5736_Exe: a container's processes inspect /proc/PID/exe of all others while the
// runtime executes programs in it: none is a file of the host.
func TestCVE2019_5736_Exe(t *testing.T) {
	harness.OrlopOnly(t, "others copy their binary, or seal it")
	b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"))
	b.Up()
	stop := watch(t, b, "exec", b.ID, "sh", "-c", `echo ready
while :; do for p in /proc/[0-9]*; do
	l=$(readlink $p/exe 2>/dev/null); case $l in ""|/bin/busybox|/memfd:orlop*) ;; *) echo exe $l;; esac
	for f in cwd root; do l=$(readlink $p/$f 2>/dev/null); case $l in ""|/) ;; *) echo $f $l;; esac; done
	[ -e $p/exe ] && (echo hacked > $p/exe) 2>/dev/null
done; [ -e /stop ] && exit; done; true`)
	rounds := 30
	if testing.Short() {
		rounds = 6
	}
	attempts(t, rounds, func(int) {
		b.Do("exec", b.ID, "true")
		b.Do("exec", b.ID, "/proc/self/exe")
	})
	for _, line := range stop() {
		t.Errorf("seen: %s", line)
	}
}

// TestCVE2019_5736_Interpreter: a container's program is /proc/self/exe, or requests it as its
// interpreter: it does not get the host's binary.
func TestCVE2019_5736_Interpreter(t *testing.T) {
	harness.OrlopOnly(t, "others copy their binary, or seal it")
	b := harness.New(t, harness.Writable, harness.Caps("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"))
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "script"), []byte("#!/proc/self/exe\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "program"), interpreted("/proc/self/exe"), 0o755))
	must(t, os.Symlink("/proc/self/exe", filepath.Join(b.Rootfs, "link")))
	variants := [][]string{{"/proc/self/exe", "--version"}, {"/script"}, {"/program", "--version"}, {"/link", "--version"}}
	attempts(t, len(variants), func(n int) {
		args := variants[n%len(variants)]
		if r := b.Run(harness.Args(args...)); strings.Contains(r.Stdout, "spec:") {
			t.Errorf("%q: the runtime runs in the container: %s", args, r.Stdout)
		}
		b.OK("delete", "--force", b.ID)
	})

	// The kernel treats the program as one with an interpreter: without that file, the interpreter
	// is missing.
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "program"), interpreted("/missing"), 0o755))
	b.Run(harness.Args("/program")).Fails(b, "no such file")
}

// interpreted returns an empty ELF program that requests an interpreter.
func interpreted(path string) []byte {
	const base = 0x400000
	machine := elf.EM_X86_64
	if runtime.GOARCH == "arm64" {
		machine = elf.EM_AARCH64
	}
	head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: base, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	const pathAt = 64 + 2*56
	size := uint64(len(path) + 1)
	var b bytes.Buffer
	for _, part := range []any{head,
		elf.Prog64{Type: uint32(elf.PT_INTERP), Off: pathAt, Filesz: size, Memsz: size},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Filesz: pathAt + size, Memsz: pathAt + size, Align: 4096},
		append([]byte(path), 0)} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil // all of these have a fixed size
		}
	}
	return b.Bytes()
}
