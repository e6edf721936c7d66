package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	suiteModule = "github.com/opencontainers/runtime-tools"
	testPrefix  = suiteModule + "/validation/"
)

// suite is where the validation programs lie, and what they need.
type suite struct {
	bin     string   // directory of the programs
	rootfs  string   // the tarball, in the module's directory
	version string   // of the module
	tests   []string // names of the programs
}

func (s suite) program(name string) string { return filepath.Join(s.bin, name) }

// buildSuite builds, into a directory, the programs that this module's go.mod lists as tools.
func buildSuite(module, bin string) (suite, error) {
	s := suite{bin: bin}
	list, err := goOutput(module, "list", "-f", "{{.ImportPath}}", "tool")
	if err != nil {
		return s, err
	}
	for path := range strings.FieldsSeq(list) {
		if name, ok := strings.CutPrefix(path, testPrefix); ok {
			s.tests = append(s.tests, name)
		}
	}
	slices.Sort(s.tests)
	place, err := goOutput(module, "list", "-m", "-f", "{{.Version}} {{.Dir}}", suiteModule)
	if err != nil {
		return s, err
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(place), " ")
	s.version, s.rootfs = version, filepath.Join(dir, "rootfs-"+runtime.GOARCH+".tar.gz")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return s, err
	}
	// runtimetest runs in containers, which have no libraries.
	_, err = goOutput(module, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin+"/", "tool")
	return s, err
}

// choose returns the named programs, or all.
func (s suite) choose(names []string) ([]string, error) {
	if len(names) == 0 {
		return s.tests, nil
	}
	for _, name := range names {
		if !slices.Contains(s.tests, name) {
			return nil, fmt.Errorf("the suite has no program %s", name)
		}
	}
	return names, nil
}

// goOutput runs the go command in the module's directory, and returns what it prints.
func goOutput(module string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.String())
	}
	return string(out), nil
}
