package harness

import (
	"debug/elf"
	"io"
	"os"
	"testing"
)

// CopySelf copies this test's binary into a root filesystem, to be run there. It skips the test if
// the binary needs libraries, which a root filesystem does not have.
func CopySelf(t testing.TB, path string) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	file, err := elf.NewFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if libraries, err := file.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Skipf("the tests' binary needs %q: build it with CGO_ENABLED=0, as make does", libraries)
	}
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, self); err != nil {
		t.Fatal(err)
	}
}
