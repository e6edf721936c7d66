package launch

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/sys/user"

	"github.com/orlop/orlop/libcontainer/setup"
)

// TestHomeOfManyUsers: a passwd file of the largest size that is read, which names as many users of
// the UID as it can.
func TestHomeOfManyUsers(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys
	}
	passwd := io.MultiReader(strings.NewReader("root:x:0:0::/first:\n"), strings.NewReader(strings.Repeat("a\n", passwdLimit/2)))
	before := heap()
	if home := homeFrom(passwd, 0); home != "/first" {
		t.Errorf("home %q", home)
	}
	if grown := heap() - before; int64(grown) > 256<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// FuzzHome: the home is the one of the first line of the UID, as other runtimes read it, or the
// root directory.
func FuzzHome(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:\n"), uint32(1000))
	f.Add([]byte("a:x:1:1::/a:/b\nb:x:1:1::/c:\n"), uint32(1))
	f.Add([]byte("+::::::\n#:::::/:\n::0:::\x00/b:"), uint32(0))
	f.Fuzz(func(t *testing.T, passwd []byte, uid uint32) {
		got := homeFrom(bytes.NewReader(passwd), uid)
		want := noHome
		users, err := user.ParsePasswd(bytes.NewReader(passwd))
		for _, u := range users {
			if err == nil && u.Uid == int(uid) {
				if u.Home != "" && len(u.Home) <= setup.MaxHome && !strings.ContainsAny(u.Home, "\x00\n") {
					want = u.Home
				}
				break
			}
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got == "" || len(got) > setup.MaxHome || strings.ContainsAny(got, "\x00\n") || got != noHome && !bytes.Contains(passwd, []byte(":"+got)) {
			t.Errorf("%q is no home of %q", got, passwd)
		}
	})
}
