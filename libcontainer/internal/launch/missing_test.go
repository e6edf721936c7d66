package launch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/setup"
)

// TestMissingIn: links are followed inside the root, and the first part that is not there is found.
func TestMissingIn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/a/b", "root/c", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "root/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"absolute": "/a/new/x", "relative": "a/../c/new", "climbs": "../../../../outside/x", "a/up": "../c/new", "loop": "pool", "pool": "loop/x",
		"chain": "/a/up", "slash": "a//./new/", "self": ".", "there": "/a/b", "below-file": "file/x", "host": dir + "/outside/x",
		"long": strings.Repeat("x/", 1000) + "y",
	} {
		if err := os.Symlink(to, filepath.Join(dir, "root", link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	top := strings.Split(dir, "/")[1]
	cases := []struct {
		path string
		want setup.Missing
		err  error
	}{
		{"/new", setup.Missing{Parent: "/", Name: "new", Last: true}, nil},
		{"/new/x", setup.Missing{Parent: "/", Name: "new"}, nil},
		{"/absolute", setup.Missing{Parent: "/a", Name: "new"}, nil},
		{"/relative", setup.Missing{Parent: "/c", Name: "new", Last: true}, nil},
		{"/relative/y", setup.Missing{Parent: "/c", Name: "new"}, nil},
		{"/climbs", setup.Missing{Parent: "/", Name: "outside"}, nil},
		{"/host", setup.Missing{Parent: "/", Name: top}, nil},
		{"/chain", setup.Missing{Parent: "/c", Name: "new", Last: true}, nil},
		{"/slash", setup.Missing{Parent: "/a", Name: "new", Last: true}, nil},
		{"/self/self/self/new", setup.Missing{Parent: "/", Name: "new", Last: true}, nil},
		{"/there", setup.Missing{Parent: "/a", Name: "b", Last: true}, nil},
		{"/there/self", setup.Missing{Parent: "/a/b", Name: "self", Last: true}, nil},
		{"/long", setup.Missing{Parent: "/", Name: "x"}, nil},
		{"/loop", setup.Missing{}, unix.ELOOP},
		{"/below-file", setup.Missing{}, unix.ENOTDIR},
		{"/" + strings.Repeat("n", 300), setup.Missing{}, unix.ENAMETOOLONG},
	}
	for _, tc := range cases {
		got, err := missingIn(root, tc.path)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%.40s: %+v, %v, want %+v, %v", tc.path, got, err, tc.want, tc.err)
		}
		if answer, err := got.Encode(); tc.err == nil && (err != nil || len(answer) == 0) {
			t.Errorf("%.40s: %v", tc.path, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("n", 256)} {
		if _, err := (setup.Missing{Parent: "/", Name: name}).Encode(); err == nil {
			t.Errorf("%.10q is sent as a name", name)
		}
	}
}
