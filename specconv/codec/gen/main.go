// Command gen writes zz_generated.go: for each of the named types, and each struct type that their
// fields lead to, a function that reads it from JSON and one that writes it. go generate runs it in
// the directory of the package that the file is for.
//
// The types are those of package -from; without that flag, those of the package itself.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

const (
	output = "zz_generated.go"
	codec  = "github.com/orlop/orlop/specconv/codec"
)

func main() {
	text, err := generate(".", os.Args[1:], newImporter())
	if err == nil {
		err = os.WriteFile(output, text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func newImporter() types.Importer { return importer.ForCompiler(token.NewFileSet(), "source", nil) }

// generate returns the file for the package in dir.
func generate(dir string, args []string, source types.Importer) ([]byte, error) {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	from := flags.String("from", "", "import path of the package with the types")
	encodeOnly := flags.Bool("encode", false, "only write what encodes")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	here, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	g := &generator{pkg: here.Name, verbs: []string{"Decode", "Encode"}, imports: map[string]bool{}}
	if *encodeOnly {
		g.verbs = g.verbs[1:]
	}
	if *from != "" {
		g.types, err = source.Import(*from)
		g.exported = true
	} else {
		g.types, err = check(dir, here.GoFiles, source)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range flags.Args() {
		named, ok := g.types.Scope().Lookup(name).(*types.TypeName)
		if !ok {
			return nil, fmt.Errorf("%s has no type %s", g.types.Path(), name)
		}
		g.want(named.Type().(*types.Named))
	}
	for i := 0; i < len(g.todo); i++ { // grows meanwhile
		for _, verb := range g.verbs {
			g.function(verb, g.todo[i])
		}
	}
	return g.file()
}

// check looks at the types of the package in dir. It tolerates errors: the package calls what is
// about to be generated.
func check(dir string, names []string, source types.Importer) (*types.Package, error) {
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names {
		if name == output {
			continue
		}
		file, err := parser.ParseFile(files, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
	}
	config := types.Config{Importer: fieldImporter{source}, IgnoreFuncBodies: true, Error: func(error) {}}
	pkg, err := config.Check("", files, parsed, nil)
	if pkg == nil {
		return nil, err
	}
	return pkg, nil
}

// A fieldImporter imports only the packages that have types of fields. To check all that a package
// imports takes many seconds.
type fieldImporter struct{ types.Importer }

func (i fieldImporter) Import(path string) (*types.Package, error) {
	switch path {
	case "time", "encoding/json", "github.com/opencontainers/runtime-spec/specs-go":
		return i.Importer.Import(path)
	}
	empty := types.NewPackage(path, filepath.Base(path))
	empty.MarkComplete()
	return empty, nil
}

type generator struct {
	pkg      string         // name of the package that the file is for
	types    *types.Package // where the types are
	exported bool           // whether the functions are for others, too
	verbs    []string
	todo     []*types.Named // struct types in the order in which they were met
	imports  map[string]bool
	body     bytes.Buffer
	errs     []error
}

// want has functions written for a struct type.
func (g *generator) want(t *types.Named) {
	if !slices.Contains(g.todo, t) {
		g.todo = append(g.todo, t)
	}
}

func (g *generator) printf(format string, args ...any) { fmt.Fprintf(&g.body, format, args...) }

// A member is a field of a struct and the JSON member that it is.
type member struct {
	*types.Var
	key       string
	omitEmpty bool
	elsewhere bool // a section for another platform, which means nothing on Linux
}

// members returns the fields of a struct, those of embedded ones included.
func members(s *types.Struct) (list []member) {
	for i := range s.NumFields() {
		f, tag := s.Field(i), reflect.StructTag(s.Tag(i))
		key, options, _ := strings.Cut(tag.Get("json"), ",")
		switch {
		case f.Embedded() && key == "":
			list = append(list, members(f.Type().Underlying().(*types.Struct))...)
			continue
		case key == "-" || !f.Exported():
			continue
		case key == "":
			key = f.Name()
		}
		platform, ok := tag.Lookup("platform")
		pointer, _ := f.Type().(*types.Pointer)
		other := ok && !strings.Contains(platform, "linux") && pointer != nil && isStruct(pointer.Elem())
		list = append(list, member{f, key, strings.Contains(options, "omitempty"), other})
	}
	return list
}

func isStruct(t types.Type) bool {
	_, ok := t.Underlying().(*types.Struct)
	return ok
}

// function writes the function of a verb for a struct type.
func (g *generator) function(verb string, t *types.Named) {
	param := map[string]string{"Decode": "d *" + g.codec("Decoder"), "Encode": "e *" + g.codec("Encoder")}[verb]
	name := g.name(verb, t)
	if g.exported {
		does := map[string]string{"Decode": "reads", "Encode": "writes"}[verb]
		g.printf("// %s %s a %s.\n", name, does, t.Obj().Name())
	}
	g.printf("func %s(%s, v *%s) {\n", name, param, g.typeName(t))
	list := members(t.Underlying().(*types.Struct))
	if verb == "Decode" {
		g.decode(list)
	} else {
		g.encode(list)
	}
	g.printf("}\n\n")
}

func (g *generator) decode(list []member) {
	g.printf("d.Object(func(key string) bool {\nswitch key {\n")
	for _, m := range list {
		g.printf("case %q:\n", m.key)
		if m.elsewhere {
			g.printf("d.Skip()\n")
		} else {
			g.printf("%s\n", g.call("Decode", "d", "&v."+m.Name(), m.Type()))
		}
	}
	g.printf("default:\nreturn false\n}\nreturn true\n})\n")
}

func (g *generator) encode(list []member) {
	g.printf("e.Open()\n")
	for _, m := range list {
		if m.elsewhere {
			continue
		}
		write := fmt.Sprintf("e.Key(%q)\n%s\n", m.key, g.call("Encode", "e", "&v."+m.Name(), m.Type()))
		if filled := filled("v."+m.Name(), m.Type()); m.omitEmpty && filled != "" {
			write = fmt.Sprintf("if %s {\n%s}\n", filled, write)
		}
		g.printf("%s", write)
	}
	g.printf("e.Close()\n")
}

// filled returns the condition under which omitempty leaves a value in; "" if it always does.
func filled(value string, t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Slice, *types.Map:
		return "len(" + value + ") > 0"
	case *types.Pointer:
		return value + " != nil"
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return value
		case u.Info()&types.IsString != 0:
			return value + ` != ""`
		}
		return value + " != 0"
	}
	return ""
}

// call returns the call that reads or writes the value that operand points to.
func (g *generator) call(verb, coder, operand string, t types.Type) string {
	name, element := g.codecFor(verb, t)
	if element == nil {
		return fmt.Sprintf("%s(%s, %s)", name, coder, operand)
	}
	return fmt.Sprintf("%s(%s, %s, %s)", name, coder, operand, g.reference(verb, element))
}

// reference returns a function that reads or writes a value of a type.
func (g *generator) reference(verb string, t types.Type) string {
	name, element := g.codecFor(verb, t)
	if element == nil {
		return name
	}
	coder := map[string]string{"Decode": "Decoder", "Encode": "Encoder"}[verb]
	return fmt.Sprintf("func(c *%s, v *%s) { %s }", g.codec(coder), g.typeName(t), g.call(verb, "c", "v", t))
}

// codecFor returns the function for a type, and the type of the elements that it needs a function
// for, nil if there are none.
func (g *generator) codecFor(verb string, t types.Type) (name string, element types.Type) {
	switch t.String() {
	case "time.Time":
		return g.codec(verb + "Time"), nil
	case "encoding/json.RawMessage":
		return g.codec(verb + "Raw"), nil
	case "[]byte":
		return g.codec(verb + "Bytes"), nil
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		if named, ok := t.(*types.Named); ok {
			return g.name(verb, named), nil
		}
	case *types.Pointer:
		return g.codec(verb + "Pointer"), u.Elem()
	case *types.Slice:
		return g.codec(verb + "List"), u.Elem()
	case *types.Map:
		if u.Key() == types.Typ[types.String] {
			return g.codec(verb + "Map"), u.Elem()
		}
	case *types.Basic:
		switch {
		case u.Info()&types.IsString != 0:
			return g.codec(verb + "Text"), nil
		case u.Info()&types.IsBoolean != 0:
			return g.codec(verb + "Bool"), nil
		case u.Info()&types.IsUnsigned != 0:
			return g.codec(verb + "Uint"), nil
		case u.Info()&types.IsInteger != 0:
			return g.codec(verb + "Int"), nil
		}
	}
	g.errs = append(g.errs, fmt.Errorf("type %s has no JSON here", t))
	return "nil", nil
}

// name returns the name of the function for a struct type, and has it written if it belongs here.
func (g *generator) name(verb string, t *types.Named) string {
	name := verb + t.Obj().Name()
	if t.Obj().Pkg() != g.types {
		return g.codec(name)
	}
	g.want(t)
	if !g.exported {
		name = strings.ToLower(verb) + t.Obj().Name()
	}
	return name
}

// codec returns how the file calls something of package codec.
func (g *generator) codec(name string) string {
	if g.pkg == "codec" {
		return name
	}
	g.imports[codec] = true
	return "codec." + name
}

func (g *generator) typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == g.types && !g.exported {
			return ""
		}
		g.imports[p.Path()] = true
		return p.Name()
	})
}

func (g *generator) file() ([]byte, error) {
	if len(g.errs) > 0 {
		return nil, errors.Join(g.errs...)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by %s/gen. DO NOT EDIT.\n\npackage %s\n\nimport (\n", codec, g.pkg)
	for _, path := range slices.Sorted(maps.Keys(g.imports)) {
		name := ""
		if strings.HasSuffix(path, "/specs-go") {
			name = "specs "
		}
		fmt.Fprintf(&b, "%s%q\n", name, path)
	}
	b.WriteString(")\n\n")
	b.Write(g.body.Bytes())
	return format.Source(b.Bytes())
}
