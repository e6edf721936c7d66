// Package release tests how what is released is built.
package release

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestReproducible: built in two folders, the second time with nothing in Go's cache, the program is the same.
func TestReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("everything is compiled anew, which takes a minute")
	}
	var sums [2][sha256.Size]byte
	for i, name := range []string{"one", "another, with a longer name"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("../../contrib/release.sh", filepath.Join(dir, "out"), runtime.GOARCH)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir, "MAKEFLAGS=", "MAKELEVEL=")
		if i == 1 {
			cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(dir, "cache"))
		}
		if _, err := os.Stat("../../libcontainer/seccomp/compiler.elf"); errors.Is(err, fs.ErrNotExist) {
			cmd.Env = append(cmd.Env, "SECCOMP=0") // so this tree is built, too
		}
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build in %s: %v\n%s", dir, err, text)
		}
		built, err := filepath.Glob(filepath.Join(dir, "out", "orlop-*-linux-"+runtime.GOARCH+"*"))
		if err != nil || len(built) != 1 {
			t.Fatalf("built are %q, %v", built, err)
		}
		data, err := os.ReadFile(built[0])
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(data)
	}
	if sums[0] != sums[1] {
		t.Errorf("the hashes are %x and %x", sums[0], sums[1])
	}
}
