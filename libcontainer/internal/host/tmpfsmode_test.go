package host

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/orlop/orlop/specconv"
)

func TestTmpfsModes(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"rootfs": 0o755, "rootfs/a": 0o700, "rootfs/a/b": 0o750, "rootfs/sticky": 0o777 | os.ModeSticky, "outside": 0o711,
		"rootfs/outside": 0o555, "vol": 0o755, "vol/b": 0o705,
	} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": "../../outside", "abs": "/a/b", "loop": "loop", "magic": "/proc/self/root"} {
		if err := os.Symlink(to, filepath.Join(dir, "rootfs", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs", "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tmpfs := func(d string, data ...string) specconv.Mount {
		return specconv.Mount{Type: "tmpfs", Destination: d, Data: data}
	}
	bind := func(d string) specconv.Mount {
		return specconv.Mount{Type: "bind", Bind: true, Destination: d, Source: filepath.Join(dir, "vol")}
	}
	list := func(m ...specconv.Mount) []specconv.Mount { return m }
	cases := []struct {
		name   string
		mounts []specconv.Mount
		want   []uint32
	}{
		{"none", nil, nil},
		{"with a mode", list(tmpfs("/a", "size=1k", "mode=755")), nil},
		{"no tmpfs", list(specconv.Mount{Type: "proc", Destination: "/a"}), nil},
		{"remount", list(specconv.Mount{Type: "tmpfs", Destination: "/a", Remount: true}), nil},
		{"directory", list(bind("/x"), tmpfs("/a", "size=1k")), []uint32{0, 0o700}},
		{"sticky", list(tmpfs("/sticky")), []uint32{0o1777}},
		{"the root", list(tmpfs("/")), []uint32{0o755}},
		{"link", list(tmpfs("/abs")), []uint32{0o750}},
		{"link out", list(tmpfs("/out")), []uint32{0o555}},
		{"magic link", list(tmpfs("/magic")), []uint32{0}},
		{"loop", list(tmpfs("/loop")), []uint32{0}},
		{"missing", list(tmpfs("/missing/x")), []uint32{0}},
		{"a file", list(tmpfs("/file")), []uint32{0}},
		{"in a volume", list(bind("/a"), tmpfs("/a/b")), []uint32{0, 0o705}},
		{"over a volume", list(bind("/a"), tmpfs("/a")), []uint32{0, 0o755}},
		{"beside a volume", list(bind("/ab"), tmpfs("/a")), []uint32{0, 0o700}},
		{"in a new filesystem", list(tmpfs("/a", "mode=1"), tmpfs("/a/b")), nil},
		{"below another root", list(tmpfs("/", "mode=1"), tmpfs("/a/b")), nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tmpfsModes(&specconv.Bundle{Rootfs: filepath.Join(dir, "rootfs"), Mounts: tc.mounts})
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %o, %v; want %o", got, err, tc.want)
			}
		})
	}
}
