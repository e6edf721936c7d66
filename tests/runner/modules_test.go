package main

import (
	"reflect"
	"testing"
)

func TestByModule(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "go.mod", "module m\n")
	mkdir(t, "a/b/c")
	write(t, "a/b", "go.mod", "module m/a/b\n")
	got := byModule([]string{"./...", "./a", "./a/b", "./a/b/c", "./a/b/...", "a/b/c/...", "/x/y", "../z"})
	want := []module{
		{".", []string{"./...", "./a", "/x/y", "../z"}},
		{"a/b", []string{"./", "./c", "./...", "./c/..."}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
