package launch

import (
	"slices"
	"testing"
)

func TestXattrNames(t *testing.T) {
	for list, want := range map[string][]string{"": {}, "user.a\x00": {"user.a"}, "user.a\x00trusted.b\x00": {"user.a", "trusted.b"}} {
		if got := xattrNames([]byte(list)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}
