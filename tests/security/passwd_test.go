package security

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// A lie is content of a container's /etc/passwd, or a file in its place, that would harm a runtime
// that trusts it.
type lie struct {
	name string
	set  func(path string) error
}

func lies() []lie {
	content := func(text []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, text, 0o644) }
	}
	link := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	users, length := 4<<20, 64<<20
	// An emulated machine exceeds the limit for reading the file with these.
	if testing.Short() {
		users, length = users>>5, length>>3
	}
	return []lie{
		{"a home with a NUL byte", content([]byte("root:x:0:0::/a\x00b:/bin/sh\n"))},
		{"a home that no environment has room for", content([]byte("root:x:0:0::/" + strings.Repeat("a", 50_000) + ":/bin/sh\n"))},
		{"millions of users with UID 0", content(bytes.Repeat([]byte("a\n"), users))},
		{"a line without an end", content(make([]byte, length))},
		{"a link to a device without an end", link("/dev/zero")},
		{"a link to a device that becomes a terminal", link("/dev/ptmx")},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o755) }},
	}
}

// TestPasswdLies: the /etc/passwd of a container, which exec without HOME reads, costs the runtime
// nothing, and does not become a home.
func TestPasswdLies(t *testing.T) {
	harness.OrlopOnly(t, "others believe some")
	b := harness.New(t, harness.Writable)
	b.Up()
	passwd := filepath.Join(b.Rootfs, "etc/passwd")
	home := func() string { return quick(b, "exec", b.ID, "sh", "-c", "echo $HOME").OK(b) }
	list := lies()
	attempts(t, len(list), func(n int) {
		lie := list[n%len(list)]
		must(t, os.RemoveAll(passwd))
		// Positive control: a correct file is used.
		must(t, os.WriteFile(passwd, []byte("root:x:0:0::/of-passwd:/bin/sh\n"), 0o644))
		if got := home(); got != "/of-passwd\n" {
			t.Errorf("%s: the home of a plain file is %q: this shows nothing", lie.name, got)
		}
		must(t, os.Remove(passwd))
		must(t, lie.set(passwd))
		if got := home(); got != "/\n" {
			t.Errorf("%s: the home is %q", lie.name, got)
		}
	})
}
