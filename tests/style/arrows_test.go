package style

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/orlop/orlop"

// arrow says what of the module a package may import. Arrows point down only: the program calls
// the lifecycle, the lifecycle calls the planner and its tools, and those stand on nsenter and specconv.
type arrow struct {
	from   string   // below the module's path; "." is the program
	to     []string // packages of the module
	extern []string // prefixes of other modules' packages; nil: the common ones
}

func arrows() []arrow {
	const (
		sys  = "golang.org/x/sys"
		spec = "github.com/opencontainers/runtime-spec"
		user = "github.com/moby/sys/user"
		dbus = "github.com/godbus/dbus/v5"
		cli  = "github.com/urfave/cli/v2"
	)
	return []arrow{
		{".", []string{"cli"}, nil},
		{"cli", []string{"libcontainer", "libcontainer/signals", "libcontainer/setup", "libcontainer/console", "libcontainer/cgroups", "libcontainer/seccomp", "specconv", "specconv/codec"}, []string{sys, spec, cli}},
		{"libcontainer/signals", nil, []string{sys}},
		{"libcontainer", []string{"libcontainer/setup", "libcontainer/cgroups", "libcontainer/internal/state", "libcontainer/internal/hooks", "libcontainer/console", "libcontainer/internal/intelrdt", "libcontainer/internal/notify", "libcontainer/internal/systemd", "libcontainer/internal/needs", "libcontainer/internal/forker", "libcontainer/internal/host", "libcontainer/internal/launch", "libcontainer/internal/placement", "libcontainer/internal/resource", "libcontainer/internal/seccompfilter", "libcontainer/internal/sys", "nsenter", "specconv", "specconv/codec", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/internal/needs", []string{"libcontainer/setup", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/internal/host", []string{"libcontainer/setup", "libcontainer/signals", "libcontainer/internal/needs", "libcontainer/cgroups", "libcontainer/internal/idmap", "libcontainer/internal/mountinfo", "libcontainer/internal/sys", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/seccomp", []string{"libcontainer/timeout", "specconv/jsonpath"}, []string{sys, spec, "github.com/seccomp/libseccomp-golang"}},
		{"libcontainer/seccomp/compiler", []string{"libcontainer/seccomp"}, []string{spec}},
		{"libcontainer/internal/idmap", []string{"libcontainer/internal/sys", "libcontainer/timeout", "nsenter"}, []string{sys, spec}},
		{"libcontainer/internal/intelrdt", []string{"libcontainer/internal/mountinfo", "specconv"}, []string{sys, spec}},
		{"libcontainer/internal/mountinfo", nil, nil},
		{"libcontainer/internal/forker", nil, []string{sys}},
		{"libcontainer/internal/launch", []string{"libcontainer/internal/host", "libcontainer/internal/sys", "libcontainer/setup", "libcontainer/internal/hooks", "libcontainer/console", "libcontainer/cgroups", "libcontainer/internal/idmap", "libcontainer/internal/proxy", "libcontainer/timeout", "nsenter", "specconv", "specconv/jsonpath"}, []string{sys, user}},
		{"libcontainer/internal/async", nil, nil},
		{"libcontainer/internal/placement", []string{"libcontainer/internal/async", "libcontainer/internal/forker", "libcontainer/internal/launch", "libcontainer/internal/sys", "libcontainer/setup", "libcontainer/cgroups", "libcontainer/internal/state", "libcontainer/internal/systemd", "libcontainer/internal/hooks", "libcontainer/internal/proxy", "libcontainer/timeout", "specconv"}, []string{sys, spec}},
		{"libcontainer/internal/resource", []string{"libcontainer/internal/sys", "libcontainer/setup", "libcontainer/internal/intelrdt", "libcontainer/internal/netdev", "libcontainer/internal/notify", "libcontainer/internal/state", "nsenter", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/internal/seccompfilter", []string{"libcontainer/internal/async", "libcontainer/internal/state", "libcontainer/internal/sys", "libcontainer/console", "libcontainer/seccomp", "libcontainer/setup", "specconv", "specconv/codec"}, []string{spec}},
		{"libcontainer/internal/sys", nil, []string{sys}},
		{"libcontainer/timeout", nil, nil},
		{"libcontainer/internal/netdev", nil, []string{sys}},
		{"libcontainer/internal/proxy", []string{"libcontainer/internal/sys"}, []string{sys}},
		{"libcontainer/setup", []string{"nsenter", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/cgroups", []string{"libcontainer/internal/mountinfo", "libcontainer/internal/sys", "libcontainer/timeout", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/internal/notify", []string{"libcontainer/internal/sys", "libcontainer/timeout"}, []string{sys}},
		{"libcontainer/internal/systemd", []string{"libcontainer/internal/sys", "libcontainer/timeout", "specconv"}, []string{sys, dbus}},
		{"libcontainer/internal/state", []string{"libcontainer/internal/sys", "libcontainer/timeout", "specconv", "specconv/codec"}, []string{sys, spec}},
		{"libcontainer/internal/hooks", []string{"libcontainer/internal/sys", "libcontainer/timeout", "specconv", "specconv/jsonpath"}, []string{sys, spec}},
		{"libcontainer/console", []string{"libcontainer/internal/sys", "libcontainer/timeout"}, []string{sys}},
		{"specconv", []string{"specconv/codec", "specconv/jsonpath"}, []string{sys, spec}},
		{"specconv/codec", []string{"specconv/jsonpath"}, []string{spec}},
		{"specconv/codec/gen", nil, nil},
		{"specconv/jsonpath", nil, nil},
		{"nsenter", nil, []string{sys}},
	}
}

// faults checks one package's imports. Packages under tests look from outside and may import
// anything but what makes containers: they go through the command line.
func faults(table []arrow, pkg string, imports []string) []string {
	rel := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if rel == "" {
		rel = "."
	}
	i := slices.IndexFunc(table, func(a arrow) bool { return a.from == rel })
	if i < 0 {
		if strings.HasPrefix(rel, "tests/") || strings.HasPrefix(rel, "contrib/") || strings.HasPrefix(rel, "nsenter/internal/") {
			return nil
		}
		return []string{pkg + ": not in the table of arrows"}
	}
	var found []string
	for _, imported := range imports {
		if to, ok := strings.CutPrefix(imported, module+"/"); ok {
			inside, _, nested := strings.Cut(to, "/internal/")
			if !slices.Contains(table[i].to, to) && !(nested && inside == rel) {
				found = append(found, pkg+" imports "+imported+": this arrow is not in the table")
			}
			continue
		}
		if host, _, _ := strings.Cut(imported, "/"); !strings.Contains(host, ".") {
			continue // the standard library
		}
		if !slices.ContainsFunc(table[i].extern, func(prefix string) bool {
			return imported == prefix || strings.HasPrefix(imported, prefix+"/")
		}) {
			found = append(found, pkg+" imports "+imported+": this dependency is not in the table")
		}
	}
	return found
}

// unused lists the arrows of one package that no import uses.
func unused(table []arrow, pkg string, imports []string) (found []string) {
	rel := cmp.Or(strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/"), ".")
	for _, a := range table {
		if a.from != rel {
			continue
		}
		for _, to := range a.to {
			if !slices.Contains(imports, module+"/"+to) {
				found = append(found, pkg+" does not import "+to+", which the table lets it")
			}
		}
		for _, prefix := range a.extern {
			if !slices.ContainsFunc(imports, func(imported string) bool { return imported == prefix || strings.HasPrefix(imported, prefix+"/") }) {
				found = append(found, pkg+" does not import "+prefix+", which the table lets it")
			}
		}
	}
	return found
}

// TestArrows fails on an import that is not in the table, and on an arrow that no import uses. It looks at the builds with and without
// cgo, which have different files of package seccomp.
func TestArrows(t *testing.T) {
	table, imports := arrows(), map[string][]string{}
	for _, cgo := range []string{"0", "1"} {
		for pkg, list := range importsOf(t, cgo) {
			imports[pkg] = append(imports[pkg], list...)
		}
	}
	for pkg, list := range imports {
		for _, fault := range append(faults(table, pkg, list), unused(table, pkg, list)...) {
			t.Error(fault)
		}
	}
}

// importsOf returns the imports of each package by `go list`.
func importsOf(t *testing.T, cgo string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "urfave_cli_no_docs,seccomp", "-json=ImportPath,Imports", module+"/...")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED="+cgo)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		imports[pkg.ImportPath] = pkg.Imports
	}
	if len(imports) == 0 {
		t.Error("go list names no package")
	}
	return imports
}

// TestArrowFaults shows that the check can fail.
func TestArrowFaults(t *testing.T) {
	cases := []struct {
		pkg, imported string
		ok            bool
	}{
		{"", module + "/cli", true},
		{"", module + "/libcontainer", false},
		{"/cli", module + "/libcontainer", true},
		{"/libcontainer", module + "/cli", false},
		{"/libcontainer/setup", module + "/nsenter", true},
		{"/libcontainer/setup", module + "/libcontainer/cgroups", false},
		{"/nsenter", module + "/specconv", false},
		{"/nsenter", "golang.org/x/sys/unix", true},
		{"/nsenter", "github.com/opencontainers/runtime-spec/specs-go", false},
		{"/specconv", "golang.org/x/systems", false},
		{"/nsenter", "unsafe", true},
		{"/nsenter", module + "/nsenter/internal/asm", true},
		{"/specconv", module + "/nsenter/internal/asm", false},
		{"/tests/e2e", "github.com/containerd/console", true},
		{"/unheardof", "os", false},
	}
	for _, tc := range cases {
		if got := faults(arrows(), module+tc.pkg, []string{tc.imported}); (len(got) == 0) != tc.ok {
			t.Errorf("%q importing %s: %q, want ok %v", tc.pkg, tc.imported, got, tc.ok)
		}
	}
}

// TestNotLinked: the program has none of the packages that would make each of its starts longer, by what they build
// before main.
func TestNotLinked(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "urfave_cli_no_docs,seccomp", module)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	linked := strings.Fields(string(out))
	if !slices.Contains(linked, module+"/cli") {
		t.Fatalf("go list names %d packages, and not cli", len(linked))
	}
	for _, pkg := range []string{"net/http", "crypto/tls", "github.com/cpuguy83/go-md2man/v2/md2man"} {
		if slices.Contains(linked, pkg) {
			t.Errorf("%s is linked", pkg)
		}
	}
}
