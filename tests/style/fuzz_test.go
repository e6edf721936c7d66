package style

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestFuzzInputs: each fuzz target has inputs that were kept, and none is left of a target that is gone.
func TestFuzzInputs(t *testing.T) {
	root, files := sources(t)
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	kept := map[string]int{}
	folders, err := filepath.Glob(filepath.Join(root, "*", "testdata/fuzz/*"))
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob(filepath.Join(root, "*/*", "testdata/fuzz/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(folders, deeper...) {
		inputs, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		kept[folder] = len(inputs)
	}
	targets := 0
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range declared.FindAllSubmatch(source, -1) {
			folder := filepath.Join(root, filepath.Dir(name), "testdata/fuzz", string(match[1]))
			if kept[folder] == 0 {
				t.Errorf("%s: %s has no inputs in testdata/fuzz", name, match[1])
			}
			delete(kept, folder)
			targets++
		}
	}
	for folder := range kept {
		t.Errorf("%s: no such target", folder)
	}
	if targets == 0 {
		t.Error("no target was found")
	}
}
