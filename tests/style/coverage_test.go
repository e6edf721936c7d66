package style

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/specconv"
)

const coverageFile = "docs/spec-coverage.md"

// States of a field in the table: see the file.
const (
	stateDone      = "done"
	stateUntested  = "untested"
	stateRefused   = "refused"
	stateLeftOut   = "left out"
	stateElsewhere = "elsewhere"
)

// coverageRow is a row of the table.
type coverageRow struct {
	field, state, code, test string
}

// parseCoverage reads the rows that begin with a field in backquotes.
func parseCoverage(text string) (rows []coverageRow, faults []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			faults = append(faults, "not a row of four cells: "+strings.TrimSpace(line))
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, coverageRow{strings.Trim(cells[0], "`"), cells[1], cells[2], cells[3]})
	}
	return rows, faults
}

// specField is a field of config.json.
type specField struct {
	path      string // with [] for any element of a list and {} for any entry of an object
	elsewhere bool   // it is for another platform
	trail     []int  // the indices of the fields that lead to it
}

// specFields lists the fields below a struct, but not those of what is for another platform.
func specFields(t reflect.Type, path string, trail []int) (list []specField) {
	for i := range t.NumField() {
		f := t.Field(i)
		here := append(slices.Clone(trail), i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			list = append(list, specFields(f.Type, path, here)...)
			continue
		}
		platform := f.Tag.Get("platform")
		field := specField{path: path + name, trail: here, elsewhere: platform != "" && !slices.Contains(strings.Split(platform, ","), "linux")}
		kind, suffix := element(f.Type)
		field.path += suffix
		list = append(list, field)
		if kind.Kind() == reflect.Struct && !field.elsewhere {
			list = append(list, specFields(kind, field.path+".", here)...)
		}
	}
	return list
}

// element returns the type below pointers, lists and objects, and how a path says that one goes into them.
func element(t reflect.Type) (_ reflect.Type, suffix string) {
	switch t.Kind() {
	case reflect.Pointer:
	case reflect.Slice:
		suffix = "[]"
	case reflect.Map:
		suffix = "{}"
	default:
		return t, ""
	}
	below, more := element(t.Elem())
	return below, suffix + more
}

// only returns a configuration in which nothing is set but what is on the trail.
func only(trail []int) *specs.Spec {
	spec := new(specs.Spec)
	set(reflect.ValueOf(spec).Elem(), trail)
	return spec
}

// set sets the field at the end of the trail to something other than nothing.
func set(v reflect.Value, trail []int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(v.Elem(), trail)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0), trail)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		set(value, trail)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), value)
	case reflect.Struct:
		if len(trail) > 0 {
			set(v.Field(trail[0]), trail[1:])
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

// refused reports whether the code refuses a configuration as valid, and not implemented yet.
func refused(spec *specs.Spec) bool {
	return len(specconv.Unsupported(spec)) > 0
}

// coverageFaults holds the table's rows against the fields. refuses tells whether the code refuses a configuration, exists whether
// there is a file, and a test in it if one is named.
func coverageFaults(rows []coverageRow, fields []specField, refuses func(*specs.Spec) bool, exists func(file, test string) error) (faults []string) {
	byField := make(map[string]coverageRow, len(rows))
	for _, r := range rows {
		if _, twice := byField[r.field]; twice {
			faults = append(faults, r.field+": is there twice")
		}
		byField[r.field] = r
	}
	for _, f := range fields {
		r, ok := byField[f.path]
		if !ok {
			faults = append(faults, f.path+": is not in the table")
			continue
		}
		delete(byField, f.path)
		if problem := stateFault(r, f, refuses(only(f.trail))); problem != "" {
			faults = append(faults, f.path+": "+problem)
		}
		for _, problem := range referenceFaults(r, exists) {
			faults = append(faults, f.path+": "+problem)
		}
	}
	for _, r := range rows {
		if _, left := byField[r.field]; left {
			faults = append(faults, r.field+": the specification has no such field")
		}
	}
	return faults
}

// stateFault holds a row's state against the code.
func stateFault(r coverageRow, f specField, refused bool) string {
	switch states := []string{stateDone, stateUntested, stateRefused, stateLeftOut, stateElsewhere}; {
	case !slices.Contains(states, r.state):
		return fmt.Sprintf("unknown state %q", r.state)
	case f.elsewhere != (r.state == stateElsewhere):
		return fmt.Sprintf("%q, but for another platform: %v", r.state, f.elsewhere)
	case refused && r.state != stateRefused:
		return fmt.Sprintf("%q, but the code refuses it", r.state)
	case !refused && r.state == stateRefused:
		return "refused, but the code does not refuse it any more: name the code and the test"
	}
	return ""
}

// referenceFaults finds what a row names and is not there, and what it should name and does not.
func referenceFaults(r coverageRow, exists func(file, test string) error) (faults []string) {
	needsCode, needsTest := r.state != stateElsewhere, r.state != stateElsewhere && r.state != stateUntested
	if (r.code != "") != needsCode || (r.test != "") != needsTest {
		faults = append(faults, fmt.Sprintf("%s, with code %q and test %q", r.state, r.code, r.test))
	}
	for reference := range strings.SplitSeq(r.code, ", ") {
		if err := exists(reference, ""); r.code != "" && err != nil {
			faults = append(faults, err.Error())
		}
	}
	for reference := range strings.SplitSeq(r.test, ", ") {
		file, test, ok := strings.Cut(reference, " ")
		if err := exists(file, test); r.test != "" && (!ok || err != nil) {
			faults = append(faults, fmt.Sprintf("test %q: %v", reference, err))
		}
	}
	return faults
}

// TestCoverage holds docs/spec-coverage.md to the specification's types and to the code.
func TestCoverage(t *testing.T) {
	text, err := os.ReadFile("../../" + coverageFile)
	if err != nil {
		t.Fatal(err)
	}
	rows, faults := parseCoverage(string(text))
	fields := specFields(reflect.TypeFor[specs.Spec](), "", nil)
	faults = append(faults, coverageFaults(rows, fields, refused, func(file, test string) error {
		source, err := os.ReadFile(filepath.Join("../..", file))
		if err == nil && test != "" && !strings.Contains(string(source), "\nfunc "+test+"(t *testing.T) {") {
			err = fmt.Errorf("%s has no %s", file, test)
		}
		return err
	})...)
	for _, f := range faults {
		t.Errorf("%s: %s", coverageFile, f)
	}
}

// TestCoverageFaults shows that the check can fail.
func TestCoverageFaults(t *testing.T) {
	all := specFields(reflect.TypeFor[specs.Spec](), "", nil)
	pick := func(paths ...string) (list []specField) {
		for _, f := range all {
			if slices.Contains(paths, f.path) {
				list = append(list, f)
			}
		}
		return list
	}
	exists := func(file, test string) error {
		if file != "a.go" && file != "a_test.go" || test != "" && test != "TestA" {
			return os.ErrNotExist
		}
		return nil
	}
	refuses := func(s *specs.Spec) bool { return s.Process != nil }
	const hostname, label = "| `hostname` | ", "| `process.selinuxLabel` | "
	for _, tc := range []struct {
		name, table string
		fields      []string
		fault       string // "" for none
	}{
		{"right", hostname + "done | a.go | a_test.go TestA |\n", []string{"hostname"}, ""},
		{"untested", hostname + "untested | a.go | |\n", []string{"hostname"}, ""},
		{"elsewhere", "| `windows` | elsewhere | | |\n", []string{"windows"}, ""},
		{"missing", "", []string{"hostname"}, "is not in the table"},
		{"unknown field", hostname + "done | a.go | a_test.go TestA |\n", nil, "no such field"},
		{"twice", strings.Repeat(hostname+"done | a.go | a_test.go TestA |\n", 2), []string{"hostname"}, "twice"},
		{"no code", hostname + "done | | a_test.go TestA |\n", []string{"hostname"}, `code ""`},
		{"no test", hostname + "done | a.go | |\n", []string{"hostname"}, `test ""`},
		{"unknown file", hostname + "done | b.go | a_test.go TestA |\n", []string{"hostname"}, "not exist"},
		{"unknown test", hostname + "done | a.go | a_test.go TestB |\n", []string{"hostname"}, "TestB"},
		{"no name of a test", hostname + "done | a.go | a_test.go |\n", []string{"hostname"}, "test"},
		{"unknown state", hostname + "perhaps | a.go | a_test.go TestA |\n", []string{"hostname"}, "unknown state"},
		{"not refused", hostname + "refused | a.go | a_test.go TestA |\n", []string{"hostname"}, "does not refuse"},
		{"refused", label + "done | a.go | a_test.go TestA |\n", []string{"process.selinuxLabel"}, "the code refuses"},
		{"of Linux", hostname + "elsewhere | | |\n", []string{"hostname"}, "another platform"},
		{"cells", hostname + "done | a.go |\n", []string{"hostname"}, "four cells"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, faults := parseCoverage(tc.table)
			got := strings.Join(append(faults, coverageFaults(rows, pick(tc.fields...), refuses, exists)...), "\n")
			if tc.fault == "" && got != "" || !strings.Contains(got, tc.fault) {
				t.Errorf("got %q, want %q", got, tc.fault)
			}
		})
	}
	if len(all) < 200 {
		t.Errorf("the specification has %d fields", len(all))
	}
	for _, f := range all {
		if !f.elsewhere && reflect.DeepEqual(only(f.trail), new(specs.Spec)) {
			t.Errorf("%s is not set", f.path)
		}
	}
}
