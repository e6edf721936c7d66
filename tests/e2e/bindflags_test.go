package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// mountFlags are the flags in mountinfo, in its order, and those of mount(2).
var mountFlags = []struct {
	name, opposite string
	flag           uintptr
}{
	{"ro", "rw", unix.MS_RDONLY},
	{"nosuid", "suid", unix.MS_NOSUID},
	{"nodev", "dev", unix.MS_NODEV},
	{"noexec", "exec", unix.MS_NOEXEC},
	{"noatime", "atime", unix.MS_NOATIME},
	{"nodiratime", "diratime", unix.MS_NODIRATIME},
	{"relatime", "norelatime", unix.MS_RELATIME},
	{"strictatime", "nostrictatime", unix.MS_STRICTATIME},
	{"nosymfollow", "symfollow", unix.MS_NOSYMFOLLOW},
}

const atimeFlags = unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// named returns the flags that options set and those that they clear.
func named(options []string) (set, clr uintptr) {
	for _, o := range options {
		for _, f := range mountFlags {
			switch o {
			case f.name:
				set, clr = set|f.flag, clr&^f.flag
			case f.opposite:
				set, clr = set&^f.flag, clr|f.flag
			}
		}
	}
	return set, clr
}

// bound returns the flags of a bind mount that has options or is remounted, as runc 1.5 makes it:
// the named ones, and the access times of the source. In a user namespace of its own, the container
// may not clear the source's flags, so unnamed ones stay.
func bound(source, set, clr uintptr, inUser bool) uintptr {
	result := set &^ atimeFlags
	if inUser {
		result |= source &^ atimeFlags &^ clr
	}
	if set&atimeFlags == 0 {
		return result | source&atimeFlags
	}
	result |= set & unix.MS_NODIRATIME
	switch {
	case set&unix.MS_NOATIME != 0:
		return result | unix.MS_NOATIME
	case set&unix.MS_STRICTATIME != 0:
		return result
	}
	return result | unix.MS_RELATIME
}

func flagNames(flags uintptr) string {
	list := []string{"rw"}
	for _, f := range mountFlags {
		switch {
		case flags&f.flag == 0 || f.name == "strictatime":
		case f.name == "ro":
			list[0] = "ro"
		default:
			list = append(list, f.name)
		}
	}
	return strings.Join(list, ",")
}

// TestBindFlags: the flags of a bind mount, for each combination of the source's flags and the
// options, and those of a remounted one. Its submounts keep theirs.
func TestBindFlags(t *testing.T) {
	harness.OrlopOnly(t, "the rules are those of runc 1.5")
	sources := map[string]uintptr{
		"nothing": unix.MS_RELATIME, "ro": unix.MS_RDONLY | unix.MS_RELATIME, "nosuid": unix.MS_NOSUID | unix.MS_RELATIME,
		"nodev": unix.MS_NODEV | unix.MS_RELATIME, "noexec": unix.MS_NOEXEC | unix.MS_RELATIME, "noatime": unix.MS_NOATIME,
		"nodiratime": unix.MS_NODIRATIME | unix.MS_RELATIME, "strictatime": unix.MS_STRICTATIME, "nosymfollow": unix.MS_NOSYMFOLLOW | unix.MS_RELATIME,
		"all": unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_NOSYMFOLLOW,
	}
	options := [][]string{{}, {"private"}, {"ro", "noexec"}, {"rw", "exec", "dev", "suid"}, {"noexec", "exec"}, {"noatime", "atime"},
		{"noatime", "nodiratime"}, {"nodiratime", "diratime"}}
	for _, f := range mountFlags {
		options = append(options, []string{f.name}, []string{f.opposite})
	}
	for in, user := range users() {
		for name, source := range sources {
			t.Run(name+in, func(t *testing.T) {
				b := harness.New(t, user)
				own(t, b, 100000)
				dir := filepath.Join(b.Dir, "volume")
				harness.MountTmpfs(t, dir)
				harness.MountTmpfs(t, filepath.Join(dir, "sub"))
				const below = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_RELATIME
				must(t, unix.Mount("", filepath.Join(dir, "sub"), "", unix.MS_REMOUNT|unix.MS_BIND|below, ""))
				must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|source, ""))
				for i, o := range options {
					harness.WithMount(fmt.Sprintf("/home/%d", i), "bind", dir, append([]string{"rbind"}, o...)...)(b.Spec)
					again := fmt.Sprintf("/root/%d", i)
					harness.WithMount(again, "bind", dir, "rbind")(b.Spec)
					harness.WithMount(again, "bind", dir, append([]string{"remount", "bind"}, o...)...)(b.Spec)
				}
				got := make(map[string]string)
				for line := range strings.Lines(b.Sh("cat /proc/self/mountinfo")) {
					fields := strings.Fields(line)
					got[fields[4]] = fields[5]
				}
				for i, o := range options {
					set, clr := named(o)
					point, again := fmt.Sprintf("/home/%d", i), fmt.Sprintf("/root/%d", i)
					want := flagNames(bound(source, set, clr, in != ""))
					if got[again] != want {
						t.Errorf("remounted with %q: %s, want %s", o, got[again], want)
					}
					if set|clr == 0 {
						want = flagNames(source)
					}
					if got[point] != want {
						t.Errorf("%q: %s, want %s", o, got[point], want)
					}
					if want := flagNames(below); got[point+"/sub"] != want {
						t.Errorf("%q: below it: %s, want %s", o, got[point+"/sub"], want)
					}
				}
			})
		}
	}
}
