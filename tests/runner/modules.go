package main

import (
	"os"
	"path/filepath"
	"strings"
)

// module is a module of the tree, with some of its packages. Tests with dependencies that the
// product must not have are modules of their own, in directories with a go.mod.
type module struct {
	dir      string   // "." is the product's
	patterns []string // of packages, as the go command takes them in dir
}

// byModule groups package patterns, given as directories of the tree, by their module. Patterns
// that are not relative paths belong to the product.
func byModule(patterns []string) []module {
	var found []module
next:
	for _, pattern := range patterns {
		folder, below := strings.CutSuffix(pattern, "...")
		dir := filepath.Clean(folder)
		if !filepath.IsLocal(dir) {
			dir = "."
		}
		for dir != "." {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			dir = filepath.Dir(dir)
		}
		if dir != "." {
			// Its prefix is clean: of what is below a module no part is "..".
			pattern = "./" + strings.TrimPrefix(strings.TrimPrefix(filepath.Clean(folder), dir), "/")
			if below {
				pattern = strings.TrimSuffix(pattern, "/") + "/..."
			}
		}
		for i := range found {
			if found[i].dir == dir {
				found[i].patterns = append(found[i].patterns, pattern)
				continue next
			}
		}
		found = append(found, module{dir, []string{pattern}})
	}
	return found
}
