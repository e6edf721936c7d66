package specconv

import (
	"slices"
	"strconv"
	"strings"
)

// foreignOptions are options of a bind mount that other programs know, each with advice. Options
// without advice have no meaning for a container and are accepted: those of fstab(5) that say when
// to mount, Docker's for macOS, and those of tmpfs, which the OCI's validation programs also give
// to bind mounts.
var foreignOptions = [...]struct{ names, advice string }{
	{"auto noauto nofail nouser _netdev consistent cached delegated mode size nr_blocks nr_inodes uid gid", ""},
	{"readonly read-only read_only nowrite", "use ro"},
	{"readwrite read-write read_write writable write", "use rw"},
	{"recursive bind-recursive", "use rbind"},
	{"norecursive bind-nonrecursive", "use bind"},
	{"user users", "in fstab it stands for noexec, nosuid and nodev"},
	{"owner group", "in fstab it stands for nosuid and nodev"},
	{"z Z relabel", "the engine labels the source; linux.mountLabel is for other mounts"},
	{"U chown", "the engine changes the owner of the source; idmap shows other owners"},
	{"O overlay", "use a mount of type overlay"},
	{"copy nocopy", "the engine copies the image's files"},
	{"no-dereference", "use copy-symlink"},
}

// foreignOption returns the advice for an option, and whether it is one of foreignOptions.
func foreignOption(option string) (advice string, ok bool) {
	name, _, _ := strings.Cut(option, "=")
	for _, o := range foreignOptions {
		if slices.Contains(strings.Fields(o.names), name) {
			return o.advice, true
		}
	}
	ok = strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") || name == "comment"
	return "", ok
}

// bindOption reports an unknown option of a bind mount. Ignoring it could give the container more
// than intended: "readonly" for "ro" would leave a host directory writable.
func (c *checker) bindOption(path, option string) {
	advice, foreign := foreignOption(option)
	if foreign && advice == "" {
		return
	}
	if near := nearestOption(option); !foreign && near != "" {
		advice = "did you mean " + near + "?"
	}
	problem := "unknown option " + strconv.Quote(option) + " of a bind mount"
	if advice != "" {
		problem += ": " + advice
	}
	c.fault(path, problem)
}

// nearestOption returns the mount option with the spelling closest to name, "" if none is close.
func nearestOption(name string) string {
	lower := strings.ToLower(name)
	best, least := "", 2
	if len(name) > 4 {
		least = 3
	}
	for _, o := range MountOptionNames() {
		if d := editDistance(lower, o); d < least {
			best, least = o, d
		}
	}
	return best
}

// editDistance returns how many letters must be inserted, removed, replaced or swapped with their
// neighbor to turn a into b.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, last, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
