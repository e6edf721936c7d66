// Package style holds the tree to its own rules: formatting, the length of functions and files,
// no init functions, and the direction of imports.
package style

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Lines that a function may have without a comment "long: REASON" beside it.
const maxFunction = 100

// sources lists the tree's Go files, relative to its root.
func sources(t *testing.T) (root string, files []string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case path == root:
			case strings.HasPrefix(name, "."), name == "testdata", name == "build", name == "vendor":
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no Go file below %s", root)
	}
	return root, files
}

func TestFormat(t *testing.T) {
	root, files := sources(t)
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := format.Source(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(source, formatted) {
			t.Errorf("%s: not as gofmt writes it", name)
		}
	}
}

func TestFunctions(t *testing.T) {
	root, files := sources(t)
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range functionFaults(t, name, source) {
			t.Error(fault)
		}
	}
}

// functionFaults names the functions that are too long without a reason, and each init.
func functionFaults(t *testing.T, name string, source []byte) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.ParseComments)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || ast.IsGenerated(file) {
			continue
		}
		first, last := set.Position(f.Pos()), set.Position(f.End())
		if f.Name.Name == "init" && f.Recv == nil && !strings.HasSuffix(name, "_test.go") {
			faults = append(faults, first.String()+": init function: nothing may be built at start")
		}
		if last.Line-first.Line+1 > maxFunction && !excused(set, file, first.Line) {
			faults = append(faults, first.String()+": "+f.Name.Name+" is longer than 100 lines and has no comment \"long: reason\" above")
		}
	}
	return faults
}

// excused tells whether a comment with a line "long: REASON" ends on the line above.
func excused(set *token.FileSet, file *ast.File, line int) bool {
	for _, group := range file.Comments {
		if end := set.Position(group.End()).Line; end != line-1 && end != line {
			continue
		}
		for _, comment := range group.List {
			for text := range strings.Lines(strings.TrimLeft(comment.Text, "/* ")) {
				if reason, ok := strings.CutPrefix(strings.TrimSpace(text), "long:"); ok && strings.TrimSpace(reason) != "" {
					return true
				}
			}
		}
	}
	return false
}

// TestFunctionFaults shows that the check can fail.
func TestFunctionFaults(t *testing.T) {
	long := "func f() {\n" + strings.Repeat("\tprintln()\n", maxFunction-1) + "}\n"
	cases := []struct {
		name, source string
		faults       int
	}{
		{"exactly at the limit", "package p\n\n" + strings.Replace(long, "\tprintln()\n", "", 1), 0},
		{"too long", "package p\n\n" + long, 1},
		{"with reason", "package p\n\n// f is a table.\n//\n// long: one case for each system call\n" + long, 0},
		{"with reason and no doc", "package p\n\n//long: a table\n" + long, 0},
		{"reason is empty", "package p\n\n// long:\n" + long, 1},
		{"reason of another", "package p\n\n// long: a table\nfunc g() {}\n\n" + long, 1},
		{"init", "package p\n\nfunc init() {}\n", 1},
		{"method named init", "package p\n\ntype t int\n\nfunc (t) init() {}\n", 0},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := functionFaults(t, "p.go", []byte(tc.source)); len(got) != tc.faults {
				t.Errorf("got %q, want %d faults", got, tc.faults)
			}
		})
	}
}

// TestCommandsThroughReaper: what waits for a command beside the harness's reaper loses its status to it now and then.
func TestCommandsThroughReaper(t *testing.T) {
	own := regexp.MustCompile(`\.CombinedOutput\(|exec\.Command\(.*\)\.(Run|Start|Output)\(`)
	root, files := sources(t)
	for _, name := range files {
		if !strings.HasPrefix(name, "tests/e2e/") && !strings.HasPrefix(name, "tests/security/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := own.Find(text); found != nil {
			t.Errorf("%s: %s: commands are run by harness.Output or Box.Aside", name, found)
		}
	}
}
