package host

import "testing"

// TestProfileLoaded: a name may contain blanks, and part of a name does not match.
func TestProfileLoaded(t *testing.T) {
	h := fakeHost(t, map[string]string{"/sys/kernel/security/apparmor/profiles": "web (enforce)\ntwo words (complain)\nfirst (x) (enforce)\n"})
	for name, want := range map[string]bool{
		"web": true, "two words": true, "first (x)": true, "unconfined": true, "two": false, "we": false, "web (enforce)": false, "": false,
	} {
		if loaded, err := profileLoaded(h.root, name); err != nil || loaded != want {
			t.Errorf("%q: %v, %v", name, loaded, err)
		}
	}
	if _, err := profileLoaded(t.TempDir(), "web"); err == nil {
		t.Error("a kernel that lists no profiles has one")
	}
	if enabled, err := appArmorEnabled(t.TempDir()); enabled || err != nil {
		t.Errorf("without AppArmor: %v, %v", enabled, err)
	}
}

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
