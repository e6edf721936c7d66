package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpToDate: each generated file is what its go:generate line makes of today's types.
func TestUpToDate(t *testing.T) {
	const directive = "//go:generate go run " + codec + "/gen "
	source, found := newImporter(), 0
	err := filepath.WalkDir("../../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			args, ok := strings.CutPrefix(line, directive)
			if !ok {
				continue
			}
			found++
			dir := filepath.Dir(path)
			want, err := generate(dir, strings.Fields(args), source)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, output)); err != nil || string(got) != string(want) {
				t.Errorf("%s is stale (%v): run go generate ./%s", filepath.Join(dir, output), err, strings.TrimLeft(dir, "./"))
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}
}
