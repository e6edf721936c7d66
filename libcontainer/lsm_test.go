package libcontainer

import "testing"

func TestIsConfined(t *testing.T) {
	for current, want := range map[string]bool{
		"unconfined\n":               false,
		"unconfined":                 false,
		"docker-default (enforce)\n": true,
		"web (complain)\n":           true,
		"unconfined (enforce)\n":     true, // a profile of that name
		"lxd//&docker (enforce)\n":   true,
	} {
		if got := isConfined(current); got != want {
			t.Errorf("%q: %v", current, got)
		}
	}
}
