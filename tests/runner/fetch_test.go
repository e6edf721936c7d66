package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestFetched(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOPROXY", "off")
	const head = "module m\n\ngo 1.26\n"
	for dir, text := range map[string]string{
		".": head, "plain": head, "far": head + "\nrequire example.org/far v1.0.0\n", "broken": head + "\nrequire what\n",
	} {
		mkdir(t, dir)
		write(t, dir, "go.mod", text)
	}
	var out strings.Builder
	c := newCounter(&out)
	got := fetched(c, byModule([]string{"./...", "plain", "far", "broken"}))
	want := []module{{".", []string{"./..."}}, {"plain", []string{"./"}}, {"broken", []string{"./"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	const skip = "SKIP  far: its dependencies cannot be fetched: go: example.org/far@v1.0.0: module lookup disabled by GOPROXY=off\n"
	if c.skipped != 1 || out.String() != skip {
		t.Errorf("skipped %d, said %q, want %q", c.skipped, out.String(), skip)
	}
}
