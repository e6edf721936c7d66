package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// dangling is a mount whose destination leads through dangling links of the image.
type dangling struct {
	name        string
	links       []string // pairs: a path in the image and where it leads
	destination string
	source      string // below the volume; "" for a tmpfs
	made        string // exists afterwards, and is mounted on
	fails       string // or the error's text
	change      func(*specs.Spec)
}

// danglingDestinations returns the forms of such links. /vol is a volume, mounted before, and
// /scratch a tmpfs.
func danglingDestinations() []dangling {
	chain := func(n int) (links []string) {
		for i := range n {
			links = append(links, "c"+strconv.Itoa(i), "/c"+strconv.Itoa(i+1))
		}
		return links
	}
	return []dangling{
		{name: "relative", links: []string{"etc/localtime", "../usr/share/zoneinfo/UTC"}, destination: "/etc/localtime", source: "f",
			made: "/usr/share/zoneinfo/UTC"},
		{name: "absolute", links: []string{"etc/resolv.conf", "/run/resolve/stub.conf"}, destination: "/etc/resolv.conf", source: "f",
			made: "/run/resolve/stub.conf"},
		{name: "climbs", links: []string{"etc/climb", "../../../../../../opt/x"}, destination: "/etc/climb", source: "f", made: "/opt/x"},
		{name: "directory", links: []string{"lock", "run/lock"}, destination: "/lock", source: ".", made: "/run/lock"},
		{name: "below", links: []string{"lock", "run/lock"}, destination: "/lock/a/b", source: ".", made: "/run/lock/a/b"},
		{name: "tmpfs", links: []string{"var/run", "/opt/run/"}, destination: "/var/run", made: "/opt/run"},
		{name: "a link of a link", links: []string{"a", "b", "b", "opt/c", "opt", "/home/d"}, destination: "/a/e", made: "/home/d/c/e"},
		{name: "up from what is missing", links: []string{"a", "opt/x/../y"}, destination: "/a", made: "/opt/y"},
		{name: "no links beside it", links: []string{"a", "opt"}, destination: "/mnt/new/x", made: "/mnt/new/x"},
		{name: "a link that leads somewhere", links: []string{"a", "home"}, destination: "/a/new/x", made: "/home/new/x"},
		{name: "40 links", links: chain(40), destination: "/c0", made: "/c40"},
		{name: "41 links", links: chain(41), destination: "/c0", fails: "too many levels of symbolic links"},
		{name: "loop", links: []string{"a", "b", "b", "a"}, destination: "/a/c", fails: "too many levels of symbolic links"},
		{name: "loop behind a dangling link", links: []string{"a", "opt/x/../../loop", "loop", "loop"}, destination: "/a",
			fails: "too many levels of symbolic links"},
		{name: "in a volume", links: []string{"a", "/vol/new/x"}, destination: "/a", source: "f", made: "/vol/new/x"},
		{name: "in a tmpfs", links: []string{"a", "/scratch/new/x"}, destination: "/a/y", made: "/scratch/new/x/y"},
		{name: "remounted", links: []string{"a", "opt/x"}, destination: "/a", made: "/opt/x",
			change: harness.WithMount("/a", "tmpfs", "tmpfs", "remount", "noexec")},
		{name: "into the procfs", links: []string{"a", "/proc/sys/new"}, destination: "/a", fails: "no such file or directory"},
		{name: "into the procfs, by self", links: []string{"a", "/proc/self/new"}, destination: "/a", fails: "no such file or directory"},
		{name: "the procfs itself", links: []string{"a", "/opt/../proc"}, destination: "/a", fails: "leads into the procfs"},
		{name: "below a file", links: []string{"a", "/etc/passwd/x"}, destination: "/a", fails: "not a directory"},
		{name: "working directory", links: []string{"work", "opt/work"}, made: "/opt/work/x",
			change: func(s *specs.Spec) { s.Process.Cwd = "/work/x" }},
		{name: "directory of a device", links: []string{"a", "opt/dev"}, made: "/opt/dev/null",
			change: func(s *specs.Spec) {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/a/null", Type: "p"})
			}},
		{name: "device", links: []string{"a", "opt/dev/fifo"}, made: "/opt/dev/fifo",
			change: func(s *specs.Spec) {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/a", Type: "p"})
			}},
		{name: "masked", links: []string{"a", "opt/x"}, change: func(s *specs.Spec) {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/a"}, []string{"/a/b"}
		}},
	}
}

// TestDanglingDestination: missing parts of a destination are made inside the root where links of
// the image lead, also in a root filesystem that is read-only for the container, and belong to the
// container's root.
func TestDanglingDestination(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 cannot make all of these")
	kinds := users()
	kinds[" of an ordinary user"] = nop
	for in, user := range kinds {
		for _, tc := range danglingDestinations() {
			t.Run(tc.name+in, func(t *testing.T) {
				b := harness.New(t, user)
				volume := hostDir(t, b, "volume")
				for i := 0; i < len(tc.links); i += 2 {
					must(t, os.Symlink(tc.links[i+1], filepath.Join(b.Rootfs, tc.links[i])))
				}
				owner := 0
				switch {
				case strings.Contains(in, "ordinary"):
					asOrdinary(t, b)
					owner = ordinary
				case in != "":
					own(t, b, 100000)
					owner = 100000
				}
				must(t, os.Chown(volume, owner, owner))
				harness.WithMount("/vol", "bind", volume, "bind")(b.Spec)
				harness.WithMount("/scratch", "tmpfs", "scratch")(b.Spec)
				tc.try(t, b, volume)
				if tc.made != "" && !strings.HasPrefix(tc.made, "/vol") && !strings.HasPrefix(tc.made, "/scratch") {
					if got := ownerOf(t, filepath.Join(b.Rootfs, tc.made)); got != uint32(owner) {
						t.Errorf("%s belongs to %d, want %d", tc.made, got, owner)
					}
				}
			})
		}
	}
}

func (d *dangling) try(t *testing.T, b *harness.Box, volume string) {
	t.Helper()
	switch {
	case d.destination == "":
	case d.source == "":
		harness.WithMount(d.destination, "tmpfs", "probe")(b.Spec)
	default:
		harness.WithMount(d.destination, "bind", filepath.Join(volume, d.source), "bind")(b.Spec)
	}
	if d.change != nil {
		d.change(b.Spec)
	}
	r := b.Run(harness.Args("sh", "-c", "pwd; ls -d $1; cut -d' ' -f5 /proc/self/mountinfo", "sh", d.made))
	if d.fails != "" {
		r.Fails(b, d.fails)
		return
	}
	seen := 0
	for line := range strings.Lines(r.OK(b)) {
		if line == d.made+"\n" {
			seen++
		}
	}
	want := 0
	if d.made != "" {
		want++ // ls
	}
	if d.destination != "" || strings.HasPrefix(d.made, "/opt/work") {
		want++ // a mount, or the working directory
	}
	if seen != want {
		t.Errorf("%s is there %d times, want %d:\n%s", d.made, seen, want, r.Stdout)
	}
}

// TestMountKinds: a file is not mounted on a directory, nor a directory on a file, and the error
// has the words that engines look for.
func TestMountKinds(t *testing.T) {
	cases := []struct{ name, kind, source, destination string }{
		{"file on a directory", "bind", "f", "/home"},
		{"file on a directory that links lead to", "bind", "f", "/link"},
		{"directory on a file", "bind", ".", "/etc/passwd"},
		{"directory below a file", "bind", ".", "/etc/passwd/x"},
		{"file below a file", "bind", "f", "/etc/passwd/x"},
		{"tmpfs on a file", "tmpfs", "", "/etc/passwd"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := harness.New(t)
			must(t, os.Symlink("home", filepath.Join(b.Rootfs, "link")))
			volume := hostDir(t, b, "volume")
			harness.WithMount(tc.destination, tc.kind, filepath.Join(volume, tc.source), tc.kind)(b.Spec)
			if tc.kind == "tmpfs" {
				b.Spec.Mounts[len(b.Spec.Mounts)-1].Options = nil
			}
			b.Write()
			b.Fails("not a directory", "run", "--bundle", b.Bundle, b.ID)
		})
	}
}
