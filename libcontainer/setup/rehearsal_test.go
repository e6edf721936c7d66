package setup

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/golden"
)

// rehearse compares the rehearsal of a plan with a file in testdata.
func rehearse(t *testing.T, name string, p *Plan) {
	t.Helper()
	r := p.Rehearsal("/sys/fs/cgroup")
	golden.Check(t, name+"-rehearsal.golden", r.String())
	if _, err := r.Lower(); err != nil {
		t.Error(err)
	}
}

// TestWithoutField: a failing field of a rehearsal is left out with its parts, unless later steps
// depend on it.
func TestWithoutField(t *testing.T) {
	p, err := Container(parse(t, inUser(t, 100000)), Options{}, Facts{AppArmor: true, SELinux: true})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rehearsal()
	for field, gone := range map[string]int{
		"mounts[1].options[2]": 3, "mounts[1]": 5, "process.capabilities": 3, "": 1, "linux.namespaces": -1, "linux.namespaces[5]": -1, "hostname": -1, "mounts[99]": -1,
	} {
		got := -1
		if w := r.WithoutField(field); w != nil {
			got = len(r.Steps) - len(w.Steps)
			if _, err := w.Lower(); err != nil {
				t.Errorf("%s: %v", field, err)
			}
		}
		if got != gone {
			t.Errorf("%s: %d steps less, want %d", field, got, gone)
		}
	}
}

// TestEveryActionIsRehearsed: rehearsed lists every action, with what is tried of it or why nothing
// is. Actions by which a process joins a container have no rehearsal.
func TestEveryActionIsRehearsed(t *testing.T) {
	source, err := os.ReadFile("rehearsal.go")
	if err != nil {
		t.Fatal(err)
	}
	_, switched, _ := strings.Cut(string(source), "switch a := s.Action.(type) {")
	switched, _, _ = strings.Cut(switched, "// the process joins a container")
	named := strings.FieldsFunc(switched, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') })
	joins := []string{"awaitSeccompAgent", "closeOwn", "endWithRuntime", "enterBundle", "enterRoot", "execHook", "joinContainer", "limitProcesses", "openOwnRoot", "setAffinity", "setControllingTerminal"}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "rehearsal.go" {
			continue
		}
		for _, action := range actions(t, name) {
			if slices.Contains(named, action) == slices.Contains(joins, action) {
				t.Errorf("%s: %s is not in rehearsed, or is one that joins a container", name, action)
			}
		}
	}
}

// actions returns the types in a file that have the method lower.
func actions(t *testing.T, name string) (list []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "lower" && f.Recv != nil {
			if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok && of.Name != "Plan" {
				list = append(list, of.Name)
			}
		}
	}
	return list
}
