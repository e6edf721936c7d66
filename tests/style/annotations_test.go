package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// annotationFaults finds annotations that are looked up by a name which stands in the code: `features` lists those that the runtime heeds,
// from the table in specconv/annotations.go.
func annotationFaults(name string, source []byte) (faults []string) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, 0)
	if err != nil {
		return []string{err.Error()}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if index, ok := n.(*ast.IndexExpr); ok {
			of, isSelector := index.X.(*ast.SelectorExpr)
			_, isLiteral := index.Index.(*ast.BasicLit)
			if isSelector && isLiteral && of.Sel.Name == "Annotations" {
				faults = append(faults, set.Position(n.Pos()).String()+": an annotation that is not in specconv/annotations.go")
			}
		}
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
			for _, prefix := range []string{"org.systemd.", "run.oci.", "org.opencontainers.", "io.kubernetes.", "io.github."} {
				if strings.HasPrefix(strings.Trim(text.Value, "`\""), prefix) {
					faults = append(faults, set.Position(n.Pos()).String()+": an annotation that is not in specconv/annotations.go")
				}
			}
		}
		return true
	})
	return faults
}

func TestAnnotations(t *testing.T) {
	root, files := sources(t)
	for _, name := range files {
		if !strings.HasPrefix(name, "libcontainer/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range annotationFaults(name, source) {
			t.Error(fault)
		}
	}
}

// TestAnnotationFaults shows that the check can fail.
func TestAnnotationFaults(t *testing.T) {
	for source, faults := range map[string]int{
		`package p; var a = s.Annotations["x"]`:        1,
		`package p; var a = b.Spec.Annotations["x"]`:   1,
		`package p; var a = s.Annotations[name]`:       0,
		`package p; var a = s.Other["x"]`:              0,
		`package p; const a = "org.systemd.property."`: 1,
		"package p; const a = `run.oci.x`":             1,
		`package p; const a = "see run.oci.x"`:         0,
	} {
		if got := annotationFaults("p.go", []byte(source)); len(got) != faults {
			t.Errorf("%s: %q", source, got)
		}
	}
}
