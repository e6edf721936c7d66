package jsonpath

import "testing"

func TestPaths(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Member("", "mounts"), "mounts"},
		{Index("mounts", 3), "mounts[3]"},
		{Member(Index("mounts", 3), "options"), "mounts[3].options"},
		{Member("annotations", "a.b"), `annotations["a.b"]`},
		{Member("linux.sysctl", ""), `linux.sysctl[""]`},
		{Member("annotations", "a\"b"), `annotations["a\"b"]`},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"mounts", "mounts", true},
		{"mounts", "mounts[3].source", true},
		{"root", "root.path", true},
		{"root", "rootfs", false},
		{"root.path", "root", false},
		{"", "", true},
		{"", "root", false},
	} {
		if got := Holds(c.outer, c.inner); got != c.want {
			t.Errorf("Holds(%q, %q) = %v", c.outer, c.inner, got)
		}
	}
}
