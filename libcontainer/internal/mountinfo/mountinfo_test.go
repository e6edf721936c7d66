package mountinfo

import (
	"slices"
	"strings"
	"testing"
)

func TestMounts(t *testing.T) {
	const text = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 30 0:27 /a\040- /a\040b/c rw,nosuid master:3 propagate_from:2 - fuse.sshfs x\040y rw
broken
32 30 0:28 / /too\011\012\134 rw - proc
33 30 0:29 / /no-type rw - `
	want := []Mount{
		{"22", "1", "/", "/", "ext4", "rw"}, {"31", "30", "/a -", "/a b/c", "fuse.sshfs", "rw"}, {"32", "30", "/", "/too\t\n\\", "proc", ""},
	}
	if got := slices.Collect(Mounts(text)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for m := range Mounts(text) { // it may be left early
		if m.Point == "/" {
			break
		}
		t.Errorf("went on to %q", m.Point)
	}
}

func TestUnescape(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "/a": "/a", `\040`: " ", `a\134040`: `a\040`, `\04`: `\04`, `\`: `\`, `\089`: `\089`, `\303\251`: "é",
	} {
		if got := Unescape(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// FuzzMounts: no text is too odd, and a mount that is written is read again.
func FuzzMounts(f *testing.F) {
	f.Add("36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw\n", "/a b\\")
	f.Add(" - \n - - ", "\t\n\u00a0\v")
	f.Fuzz(func(t *testing.T, text, point string) {
		for m := range Mounts(text) {
			if strings.ContainsAny(m.Type, " \n") || len(m.Point) > len(text) {
				t.Errorf("%+v", m)
			}
		}
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(point)
		list := slices.Collect(Mounts("1 2 0:3 / /" + escaped + " rw - tmpfs none rw\n"))
		if len(list) != 1 || list[0].Point != "/"+point {
			t.Errorf("%q became %q", point, list)
		}
	})
}
