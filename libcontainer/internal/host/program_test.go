package host

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer/internal/needs"
	"github.com/orlop/orlop/specconv"
)

// image makes a bundle. A line of the tree is "NAME" for a directory, "NAME -> TARGET" for a link, and
// "NAME MODE CONTENT" for a file.
func image(t *testing.T, change func(*specs.Spec, string), tree ...string) *specconv.Bundle {
	t.Helper()
	dir := t.TempDir()
	s := specconv.Example()
	s.Mounts = nil
	if change != nil {
		change(s, dir)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range append([]string{"rootfs"}, tree...) {
		f := strings.SplitN(line, " ", 3)
		name := filepath.Join(dir, f[0])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case len(f) == 1:
			err = os.MkdirAll(name, 0o755)
		case f[1] == "->":
			err = os.Symlink(f[2], name)
		default:
			mode := os.FileMode(0o755)
			if f[1] != "x" {
				mode = 0o644
			}
			err = os.WriteFile(name, []byte(f[2]), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, specconv.ConfigName), text, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := specconv.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mounted(destination, kind, source string, options ...string) func(*specs.Spec, string) {
	return func(s *specs.Spec, dir string) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: kind, Source: strings.ReplaceAll(source, "DIR", dir), Options: options})
	}
}

func TestProgram(t *testing.T) {
	script := func(path string) string { return path + " x #!/bin/sh" }
	shell := "rootfs/bin/sh x #!/bin/sh" // its own interpreter: what the kernel thinks of that is another matter
	for _, tc := range []struct {
		name    string
		change  func(*specs.Spec, string)
		tree    []string
		program string
		lacks   string // "": it exists; "?": unknown
	}{
		{"there", nil, []string{shell}, "/bin/sh", ""},
		{"not there", nil, []string{shell}, "/bin/bash", "no such file"},
		{"by PATH", nil, []string{shell, script("rootfs/usr/bin/tool")}, "tool", ""},
		{"not in PATH", nil, []string{shell, script("rootfs/opt/tool")}, "tool", "executable file not found in $PATH"},
		{"from the working directory", nil, []string{shell, script("rootfs/opt/tool")}, "opt/tool", ""},
		{"not executable", nil, []string{shell, "rootfs/x - text"}, "/x", "permission denied"},
		{"not executable, and then it is", nil, []string{shell, "rootfs/usr/bin/t - text", script("rootfs/bin/t")}, "t", ""},
		{"absolute link", nil, []string{shell, "rootfs/a -> /bin/sh"}, "/a", ""},
		{"relative link out of the root", nil, []string{shell, "rootfs/usr/a -> ../../../../bin/sh"}, "/usr/a", ""},
		{"link to a directory", nil, []string{"rootfs/bin -> usr/bin", "rootfs/usr/bin/sh x #!/bin/sh"}, "/bin/sh", ""},
		{"links in a circle", nil, []string{"rootfs/a -> b", "rootfs/b -> a"}, "/a", "too many levels"},
		{"through a file", nil, []string{shell}, "/bin/sh/x", "not a directory"},
		{"no interpreter", nil, []string{"rootfs/x x #! /bin/none -x"}, "/x", "its interpreter /bin/none: no such file"},
		{"no format", nil, []string{"rootfs/x x text"}, "/x", "exec format error"},
		{"bind mount of a directory", mounted("/opt", "bind", "DIR/tools", "bind"), []string{shell, script("tools/t")}, "/opt/t", ""},
		{"bind mount of a file", mounted("/opt/t", "bind", "DIR/tools/u", "bind"), []string{shell, script("tools/u")}, "/opt/t", ""},
		{"bind mount without it", mounted("/bin", "bind", "DIR/tools", "bind"), []string{shell, script("tools/t")}, "/bin/sh", "no such file"},
		{"link out of a bind mount", mounted("/opt", "bind", "DIR/tools", "bind"), []string{shell, "tools/t -> /bin/sh"}, "/opt/t", ""},
		{"noexec", mounted("/opt", "bind", "DIR/tools", "bind", "noexec"), []string{shell, script("tools/t")}, "/opt/t", "noexec"},
		{"below a tmpfs", mounted("/bin", "tmpfs", "tmpfs"), []string{shell}, "/bin/sh", "no such file"},
		{"below a copied tmpfs", mounted("/bin", "tmpfs", "tmpfs", "tmpcopyup"), []string{shell}, "/bin/sh", ""},
		{"below another filesystem", mounted("/bin", "ext4", "/dev/x"), []string{shell}, "/bin/sh", "?"},
		{"a later mount counts", func(s *specs.Spec, dir string) {
			mounted("/opt", "tmpfs", "tmpfs")(s, dir)
			mounted("/opt/tools", "bind", "DIR/tools", "bind")(s, dir)
		}, []string{shell, script("tools/t")}, "/opt/tools/t", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := image(t, tc.change, tc.tree...)
			b.Spec.Process.Cwd = "/"
			b.Spec.Process.Env = []string{"PATH=/usr/bin:/bin"}
			h := fakeHost(t, nil)
			h.bundle = b
			err := h.program(needs.Need{Kind: needs.Program, Name: tc.program, Paths: []string{"/usr/bin/" + tc.program, "/bin/" + tc.program}})
			lack := (*Lack)(nil)
			told := errors.As(err, &lack)
			switch {
			case tc.lacks == "" && err == nil, tc.lacks == "?" && err != nil && !told:
			case tc.lacks == "" || !told || !strings.Contains(lack.Text, tc.lacks):
				t.Errorf("got %v, want %q", err, tc.lacks)
			}
		})
	}
}

// TestProgramWithoutProcess: a container that has none may have hooks.
func TestProgramWithoutProcess(t *testing.T) {
	b := image(t, func(s *specs.Spec, _ string) { s.Process = nil }, "rootfs/bin/sh x #!/bin/sh")
	h := fakeHost(t, nil)
	h.bundle = b
	if err := h.program(needs.Need{Kind: needs.Program, Name: "/bin/sh"}); err != nil {
		t.Error(err)
	}
}

// TestProgramOfUser: the mode's bits of whoever the process is, on the host.
func TestProgramOfUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives files to others")
	}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}}
	for _, tc := range []struct {
		name  string
		owner int
		mode  os.FileMode
		user  specs.User
		maps  []specs.LinuxIDMapping
		caps  []string
		ok    bool
	}{
		{"owner", 7, 0o700, specs.User{UID: 7}, nil, nil, true},
		{"other", 7, 0o770, specs.User{UID: 8, GID: 8}, nil, nil, false},
		{"group", 7, 0o710, specs.User{UID: 8, GID: 7}, nil, nil, true},
		{"additional group", 7, 0o710, specs.User{UID: 8, GID: 8, AdditionalGids: []uint32{7}}, nil, nil, true},
		{"root is a user like others", 7, 0o700, specs.User{}, nil, nil, false},
		{"but for a capability", 7, 0o700, specs.User{}, nil, []string{"CAP_DAC_OVERRIDE"}, true},
		{"mapped", 100003, 0o700, specs.User{UID: 3}, ids, nil, true},
		{"not mapped", 3, 0o700, specs.User{UID: 3}, ids, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := image(t, func(s *specs.Spec, _ string) {
				if tc.maps != nil {
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
					s.Linux.UIDMappings, s.Linux.GIDMappings = tc.maps, tc.maps
				}
				s.Process.User = tc.user
				s.Process.Capabilities = &specs.LinuxCapabilities{Effective: tc.caps, Permitted: tc.caps}
			}, "rootfs/x x #!/x")
			file := filepath.Join(b.Rootfs, "x")
			if err := errors.Join(os.Chown(file, tc.owner, tc.owner), os.Chmod(file, tc.mode)); err != nil {
				t.Fatal(err)
			}
			h := fakeHost(t, nil)
			h.bundle = b
			if err := h.program(needs.Need{Kind: needs.Program, Name: "/x"}); (err == nil) != tc.ok {
				t.Error(err)
			}
		})
	}
}
