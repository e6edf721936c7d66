package specconv

import (
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct{ env, want string }{
		{"", ""},
		{"A=1 B=2", "A=1 B=2"},
		{"A=1 B=2 A=3", "B=2 A=3"},
		{"A=1 A= A=", "A="},
		{"A=1 AA=2 A=3 AA=4 a=5", "A=3 AA=4 a=5"},
		{"A=x=1 A=y=2", "A=y=2"},
		{"A=1 A", "A"},
	} {
		env := strings.Fields(tc.env)
		if got := strings.Join(Environment(env), " "); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.env, got, tc.want)
		}
		if got := strings.Join(env, " "); got != tc.env {
			t.Errorf("%q was changed to %q", tc.env, got)
		}
	}
}
