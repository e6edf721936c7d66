package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// share is where the guest has the stage.
const share = "/mnt/share"

// pkg is a package with tests.
type pkg struct {
	path string // to import it
	dir  string
	rel  string // dir, from the module's root
}

// binary is the package's test binary in a stage.
func (p pkg) binary(stage string) string { return filepath.Join(stage, p.rel, "package.test") }

// orlop is the runtime in a stage.
func orlop(stage string) string { return filepath.Join(stage, "orlop") }

// listPackages lists those packages of a module that have tests.
func listPackages(tags string, m module) ([]pkg, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", append([]string{"list", "-tags", tags, "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}"}, m.patterns...)...)
	cmd.Dir = m.dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var found []pkg
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		rel, err := filepath.Rel(root, fields[1])
		if err != nil {
			return nil, err
		}
		found = append(found, pkg{fields[0], fields[1], rel})
	}
	return found, nil
}

// stageOrlop makes a directory for what the tests need where there is neither Go nor the tree, and
// puts orlop and contrib there.
func stageOrlop(dir, tags string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A module of its own, so that the sources there are none of the tree's packages.
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module guest\n"), 0o644); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "contrib"), os.DirFS("contrib")); err != nil {
		return err
	}
	return golang(".", "build", "-trimpath", "-buildvcs=false", "-buildmode=exe", "-tags", tags, "-ldflags", "-s -w -buildid=", "-o", orlop(dir), ".")
}

// stagePackage puts a package's test binary there, in a directory of its own with the package's
// sources, which some tests read, and its testdata.
func stagePackage(dir, tags string, p pkg) error {
	if err := golang(p.dir, "test", "-c", "-tags", tags, "-o", p.binary(dir), "."); err != nil {
		return err
	}
	sources, err := filepath.Glob(filepath.Join(p.dir, "*.go"))
	if err != nil {
		return err
	}
	for _, path := range sources {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, p.rel, filepath.Base(path)), data, 0o644); err != nil {
			return err
		}
	}
	err = os.CopyFS(filepath.Join(dir, p.rel, "testdata"), os.DirFS(filepath.Join(p.dir, "testdata")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// golang runs the go command in a directory; what it makes is static, for the guest has other
// libraries.
func golang(dir string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
