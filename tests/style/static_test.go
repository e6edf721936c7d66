package style

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStaticcheck: staticcheck, of the version that tests/tools pins, finds nothing. What it is not asked for stands in staticcheck.conf.
func TestStaticcheck(t *testing.T) {
	program := staticcheck(t)
	tags := "urfave_cli_no_docs"
	if _, err := os.Stat("../../libcontainer/seccomp/compiler.elf"); err == nil { // which make builds
		tags += ",seccomp"
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, dir := range []string{"../..", "../conformance", "../engines"} {
		cmd := exec.Command(program, "-tags", tags, "./...")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in %s: %v\n%s", dir, err, out)
		}
	}
}

// TestStaticcheckFinds shows that the check can fail.
func TestStaticcheckFinds(t *testing.T) {
	program := staticcheck(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module faulty\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() {\n\tf, err := os.Open(\"x\")\n\tf, err = os.Open(\"y\")\n\t_, _ = f, err\n}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "SA4006") {
		t.Errorf("a value that is never used is not found: %v\n%s", err, out)
	}
}

// staticcheck builds the program, and skips the test where its module can't be had.
func staticcheck(t *testing.T) string {
	t.Helper()
	download := exec.Command("go", "-C", "../tools", "mod", "download", "honnef.co/go/tools")
	if out, err := download.CombinedOutput(); err != nil {
		t.Skipf("staticcheck can't be fetched: %s", out)
	}
	program := filepath.Join(t.TempDir(), "staticcheck")
	build := exec.Command("go", "-C", "../tools", "build", "-o", program, "honnef.co/go/tools/cmd/staticcheck")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build staticcheck: %v\n%s", err, out)
	}
	return program
}
