// Package mountinfo parses the kernel's list of mounts, /proc/PID/mountinfo
// (proc_pid_mountinfo(5)).
package mountinfo

import (
	"iter"
	"strings"
)

// A Mount is one line.
type Mount struct {
	ID      string
	Parent  string // the ID of the mount that it is on
	Root    string // the mounted directory of the filesystem
	Point   string // the mount point
	Type    string // of the filesystem
	Options string // of the filesystem, such as "rw,cpu,cpuacct"
}

// Mounts iterates over the mounts. Of several mounts on one point, the last one is on top. It skips
// malformed lines.
func Mounts(text string) iter.Seq[Mount] {
	return func(yield func(Mount) bool) {
		for line := range strings.Lines(text) {
			// 36 35 98:0 /root /mountpoint rw,noatime master:1 - ext4 /dev/root rw
			// Not strings.Fields, which splits at Unicode space: the kernel escapes only ASCII's.
			before, after, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
			fields := strings.Split(before, " ")
			fstype, device, _ := strings.Cut(after, " ")
			if len(fields) < 5 || fstype == "" {
				continue
			}
			m := Mount{ID: fields[0], Parent: fields[1], Root: Unescape(fields[3]), Point: Unescape(fields[4]), Type: fstype}
			_, m.Options, _ = strings.Cut(device, " ")
			if !yield(m) {
				return
			}
		}
	}
}

// Unescape decodes \040 (space), \011 (tab), \012 (newline) and \134 (backslash).
func Unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func octal(c byte) bool { return '0' <= c && c <= '7' }
