package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestInfo: text and JSON agree.
func TestInfo(t *testing.T) {
	var i struct {
		Runtime struct{ Version, Spec, Root string }
		Kernel  struct{ Release string }
		Cgroups struct{ Mode string }
		Mounts  struct{ IDMapped map[string]string }
	}
	d := json.NewDecoder(strings.NewReader(call(t, "info", "--format", "json").succeeds(t)))
	if err := d.Decode(&i); err != nil {
		t.Fatal(err)
	}
	text := call(t, "info").succeeds(t)
	for _, want := range []string{i.Runtime.Version, i.Runtime.Spec, i.Kernel.Release, i.Cgroups.Mode} {
		if want == "" || !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for fstype, answer := range i.Mounts.IDMapped {
		found := false
		for line := range strings.Lines(text) {
			words, ok := strings.CutPrefix(line, "id-mapped mounts: "+answer)
			found = found || ok && strings.Contains(" "+strings.TrimSpace(words)+" ", " "+fstype+" ")
		}
		if !found {
			t.Errorf("%s is not among those with id-mapped mounts %s:\n%s", fstype, answer, text)
		}
	}
	call(t, "info", "--format", "yaml").fails(t, 1, "must be text or json")
	call(t, "info", "x").fails(t, 1, "takes none")
}

func TestCheckUsage(t *testing.T) {
	call(t, "check", "--format", "yaml").fails(t, 1, "must be text or json")
	call(t, "check", "a", "b").fails(t, 1, "takes the ID")
	call(t, "check", "--bundle", "/no/such/bundle").fails(t, 1, "no such file")
}
