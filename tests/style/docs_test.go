package style

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestDocs: each file that a page links to exists, and so does each test that it names.
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
			for _, match := range link.FindAllSubmatch(text, -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), string(match[1]))); err != nil {
					t.Errorf("%s: dead link: %v", page, err)
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
