package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	tests := testNames("TestA\nTestB\nBenchmarkC\nFuzzD\nExampleE\nok  \tm\t0.1s\n")
	if want := []string{"TestA", "TestB", "FuzzD", "ExampleE"}; !reflect.DeepEqual(tests, want) {
		t.Errorf("names: got %q, want %q", tests, want)
	}
	for _, tc := range []struct {
		run, whole string
		most       int
		want       []string
	}{
		{"", ".", 2, []string{"^(TestA|FuzzD)$", "^(TestB|ExampleE)$"}},
		{"Test", "Test", 9, []string{"^(TestA|TestB|FuzzD|ExampleE)$"}},
		{"Test/x/y", "Test", 3, []string{"^(TestA|FuzzD)$/x/y", "^(TestB|ExampleE)$/x/y"}},
	} {
		if got := wholeNames(tc.run); got != tc.whole {
			t.Errorf("%q: names match %q, want %q", tc.run, got, tc.whole)
		}
		var got []string
		for _, part := range parts(tests, tc.most) {
			got = append(got, only(part, tc.run))
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %q, want %q", tc.run, got, tc.want)
		}
	}
}

// TestHere: the tests of a package that is split are all run, by processes of which none gets too
// many.
func TestHere(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "go.mod", "module m\n\ngo 1.26\n")
	mkdir(t, "long")
	var source strings.Builder
	source.WriteString("package long\n\nimport \"testing\"\n\nvar ran int\n")
	for i := range testsAtOnce + 2 {
		name := "Test" + string(rune('A'+i/10)) + string(rune('0'+i%10))
		source.WriteString("\nfunc " + name + "(t *testing.T) {\n\tif ran++; ran > 21 {\n\t\tt.Error(\"too many\")\n\t}\n}\n")
	}
	write(t, "long", "long_test.go", source.String())
	write(t, ".", "short_test.go", "package m\n\nimport \"testing\"\n\nfunc TestShort(t *testing.T) {}\n")
	for _, tc := range []struct {
		run    string
		passed int
	}{{"", testsAtOnce + 3}, {"TestA|TestShort", 11}, {"TestNone", 0}} {
		var report strings.Builder
		c := newCounter(&report)
		h := here{run: tc.run, split: []string{"./long"}}
		if err := h.test(c, module{".", []string{"./..."}}); err != nil {
			t.Error(err)
		}
		if c.passed != tc.passed || c.failed != 0 || c.skipped != 0 {
			t.Errorf("%q: %d passed, %d failed, %d skipped, want %d, 0, 0\n%s", tc.run, c.passed, c.failed, c.skipped, tc.passed, &report)
		}
	}
}
