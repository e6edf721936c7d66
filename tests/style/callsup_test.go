package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoCallsUp: the files of package libcontainer stand above each other. If a file calls functions of another one, that one
// does not call back, directly or through others: who reads a verb goes down only.
func TestNoCallsUp(t *testing.T) {
	calls, err := fileCalls("../../libcontainer")
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) == 0 {
		t.Fatal("no file calls another one")
	}
	for _, circle := range circles(calls) {
		t.Errorf("these files call each other: %s", strings.Join(circle, " > "))
	}
}

// TestCircles shows that the check can fail.
func TestCircles(t *testing.T) {
	down := map[string][]string{"a": {"b", "c"}, "b": {"c"}}
	if found := circles(down); len(found) != 0 {
		t.Errorf("%v has circles: %v", down, found)
	}
	up := map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a"}}
	if found := circles(up); len(found) != 1 || len(found[0]) != 4 {
		t.Errorf("%v has circles: %v", up, found)
	}
}

// fileCalls returns, for each file of a package, the other files whose functions and methods it uses.
func fileCalls(dir string) (map[string][]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// Other packages are empty: only what the package itself declares is looked up.
	uses := map[*ast.Ident]types.Object{}
	config := types.Config{Importer: noPackages{}, Error: func(error) {}}
	pkg, _ := config.Check(module, set, files, &types.Info{Uses: uses})
	calls := map[string][]string{}
	for ident, object := range uses {
		f, ok := object.(*types.Func)
		if !ok || f.Pkg() != pkg {
			continue
		}
		from, to := filepath.Base(set.Position(ident.Pos()).Filename), filepath.Base(set.Position(f.Pos()).Filename)
		if from != to && !slices.Contains(calls[from], to) {
			calls[from] = append(calls[from], to)
		}
	}
	return calls, nil
}

type noPackages struct{}

func (noPackages) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

// circles returns one way from a file back to itself for each group of files that call each other.
func circles(calls map[string][]string) (found [][]string) {
	var closed []string // files in a circle that was found
	for _, start := range slices.Sorted(maps.Keys(calls)) {
		if slices.Contains(closed, start) {
			continue
		}
		if way := wayBack(calls, start); way != nil {
			found = append(found, way)
			closed = append(closed, way...)
		}
	}
	return found
}

// wayBack returns the shortest way along calls from a file back to it, nil if there is none.
func wayBack(calls map[string][]string, start string) []string {
	from := map[string]string{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range calls[queue[0]] {
			if next == start {
				way := []string{start}
				for f := queue[0]; f != start; f = from[f] {
					way = append([]string{f}, way...)
				}
				return append([]string{start}, way...)
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}
