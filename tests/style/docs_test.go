package style

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDocs: each file that a page links to or names exists, and so does each test.
func TestDocs(t *testing.T) {
	root, files := sources(t)
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range declared.FindAllSubmatch(source, -1) {
			tests[string(match[1])] = true
		}
	}
	link := regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)
	path := regexp.MustCompile("`((?:cli|contrib|docs|libcontainer|nsenter|specconv|tests)/[^` ]+)`")
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	for _, pattern := range []string{"*.md", "docs/*.md", "tests/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(pages) == 0 {
			t.Errorf("%s: no page, %v", pattern, err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, match := range link.FindAllSubmatch(text, -1) {
				files = append(files, filepath.Join(filepath.Dir(page), string(match[1])))
			}
			for _, match := range path.FindAllSubmatch(text, -1) {
				files = append(files, filepath.Join(root, string(match[1])))
			}
			for _, file := range files {
				if _, err := os.Stat(file); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
			for _, name := range named.FindAllString(string(text), -1) {
				if !tests[name] {
					t.Errorf("%s: there is no test %s", page, name)
				}
			}
		}
	}
}
