// Package emulated is for tests of code in assembler: they run it by qemu's emulation of processes, for architectures that the machine does
// not have, and for that which it has, where the emulator's slowness shows races.
package emulated

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var names = map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}

// TestBinary builds the test binary of the caller's package for an architecture, and returns the paths of it and of the emulator that runs it. The
// test is skipped where there is none. On a machine that has not built for that architecture yet, nearly all of the time goes
// into compiling Go's own packages; the log says how much.
func TestBinary(t *testing.T, arch string) (binary, qemu string) {
	t.Helper()
	qemu = emulator(t, names[arch])
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go command to build for %s with: %v", arch, err)
	}
	binary = filepath.Join(t.TempDir(), arch+".test")
	build := exec.Command(gocmd, "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	begin := time.Now()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", arch, err, out)
	}
	t.Logf("built for %s in %v", arch, time.Since(begin).Round(time.Millisecond))
	return binary, qemu
}

func emulator(t *testing.T, name string) string {
	t.Helper()
	for _, name := range []string{name + "-static", name} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("no %s-static (Debian's package qemu-user-static)", name)
	return ""
}
