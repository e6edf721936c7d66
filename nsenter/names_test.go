package nsenter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The name beside each number is its constant's, and the list is sorted, so that missing ones are
// easy to find.
func TestNames(t *testing.T) {
	var constants []string
	for _, name := range syscallConstants(t, "names.go") {
		constants = append(constants, strings.ToLower(strings.TrimPrefix(name, "SYS_")))
	}
	names := syscallNames()
	if len(constants) != len(names) {
		t.Fatalf("%d constants, %d names", len(constants), len(names))
	}
	for i, n := range names {
		if constants[i] != n.name {
			t.Errorf("%q is beside SYS_%s", n.name, strings.ToUpper(constants[i]))
		}
	}
	if !sort.SliceIsSorted(names, func(i, j int) bool { return names[i].name < names[j].name }) {
		t.Error("the names are not sorted")
	}
	if got := opName(4000); got != "system call 4000" {
		t.Errorf("a number without a name is %q", got)
	}
	if got := (Op{code: unix.SYS_PIVOT_ROOT}).Name(); got != "pivot_root" {
		t.Errorf("pivot_root is %q", got)
	}
}

// Every system call that programs in this tree use has a name for messages.
func TestNamesOfUsedCalls(t *testing.T) {
	named := map[string]bool{}
	for _, n := range syscallNames() {
		named[n.name] = true
	}
	for _, pattern := range []string{"protocol.go", "image.go", "../libcontainer/setup/*.go", "../libcontainer/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, c := range syscallConstants(t, file) {
				if name := strings.ToLower(strings.TrimPrefix(c, "SYS_")); !named[name] {
					t.Errorf("%s uses %s, which names.go lacks", file, c)
				}
			}
		}
	}
}

// syscallConstants lists the constants unix.SYS_* that a Go file mentions.
func syscallConstants(t *testing.T, file string) []string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "SYS_") {
			if x, ok := s.X.(*ast.Ident); ok && (x.Name == "unix" || x.Name == "syscall") {
				constants = append(constants, s.Sel.Name)
			}
		}
		return true
	})
	return constants
}

func TestCloneflagNames(t *testing.T) {
	if got := cloneflagNames(unix.CLONE_NEWNS | unix.CLONE_NEWPID); got != "new namespaces: pid, mount" {
		t.Errorf("got %q", got)
	}
	if got := cloneflagNames(0); got != "in the caller's namespaces" {
		t.Errorf("got %q", got)
	}
}
