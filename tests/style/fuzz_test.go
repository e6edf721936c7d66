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
	var folders []string
	for _, depth := range []string{"*", "*/*", "*/*/*"} {
		found, err := filepath.Glob(filepath.Join(root, depth, "testdata/fuzz/*"))
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, found...)
	}
	for _, folder := range folders {
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
