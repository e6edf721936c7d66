package specconv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/specconv/codec"
)

// bundle makes a bundle of config and a directory rootfs.
func bundle(t testing.TB, config []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		if err := os.WriteFile(filepath.Join(dir, ConfigName), config, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	dir := bundle(t, exampleJSON(t))
	b, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Dir != dir || b.Rootfs != filepath.Join(dir, "rootfs") {
		t.Errorf("%+v", b)
	}
	t.Chdir(dir)
	if b, err = Load("."); err != nil || b.Dir != dir {
		t.Errorf("relative: %+v, %v", b, err)
	}
}

// A configuration of Docker's has nothing wrong.
func TestDockerConfig(t *testing.T) {
	text, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse(text, "/b")
	if err != nil || len(b.Warnings) > 0 {
		t.Fatal(err, b)
	}
}

func TestLoadFaults(t *testing.T) {
	check := func(name, dir, want string) error {
		t.Helper()
		_, err := Load(dir)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ConfigName) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		return err
	}
	if err := check("none", bundle(t, nil), "no such file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	check("empty", bundle(t, []byte{}), "empty")
	var syntax *codec.SyntaxError
	if err := check("truncated", bundle(t, exampleJSON(t)[:700]), "is the file truncated?"); !errors.As(err, &syntax) || syntax.Line < 30 {
		t.Errorf("%v", err)
	}
	dir := bundle(t, nil)
	if err := os.Mkdir(filepath.Join(dir, ConfigName), 0o755); err != nil {
		t.Fatal(err)
	}
	check("directory", dir, "is a directory, not a file")

	dir = bundle(t, nil)
	if err := unix.Mkfifo(filepath.Join(dir, ConfigName), 0o644); err != nil {
		t.Fatal(err)
	}
	check("FIFO", dir, "is not a regular file")

	dir = bundle(t, []byte("{}"))
	if err := os.Truncate(filepath.Join(dir, ConfigName), 100<<20); err != nil {
		t.Fatal(err)
	}
	check("100 MiB", dir, "larger than 16 MiB")
	if n := testing.AllocsPerRun(1, func() { _, _ = Load(dir) }); n > 100 {
		t.Errorf("%v allocations for a file that must not be read", n)
	}

	dir = bundle(t, exampleJSON(t))
	if err := os.Remove(filepath.Join(dir, "rootfs")); err != nil {
		t.Fatal(err)
	}
	var faults Faults
	if err := check("no rootfs", dir, "root.path: "+dir+"/rootfs does not exist"); !errors.As(err, &faults) || len(faults) != 1 {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check("rootfs is a file", dir, "/rootfs is not a directory")
}

// A pipe has no size: it is read to its end, and no further than the limit.
func TestLoadFileFromPipe(t *testing.T) {
	for _, size := range []int{0, MaxConfigSize} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = w.Write(append(exampleJSON(t), make([]byte, size)...))
			w.Close()
		}()
		_, err = LoadFile(bundle(t, nil), "/proc/self/fd/"+strconv.Itoa(int(r.Fd())))
		r.Close()
		if size == 0 && err != nil || size > 0 && (err == nil || !strings.Contains(err.Error(), "larger than 16 MiB")) {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestFaultsError(t *testing.T) {
	var f Faults
	for range 103 {
		f = append(f, Invalid("a", "b"))
	}
	if s := f.Error(); !strings.HasPrefix(s, "103 faults:\n  a: b\n") || !strings.HasSuffix(s, "\n  a: b\n  and 3 more") {
		t.Error(s)
	}
	var one *FieldError
	if err := error(f); !errors.As(err, &one) || one.Path != "a" {
		t.Error(one)
	}
	if err := (Faults)(nil).err(); err != nil {
		t.Error("no faults are no error")
	}
	if _, err := Parse([]byte("{}"), "relative"); err == nil {
		t.Error("a relative bundle")
	}
}

func BenchmarkParse(b *testing.B) {
	docker, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		text []byte
	}{{"example", exampleJSON(b)}, {"docker", docker}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(c.text, "/b"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := bundle(b, exampleJSON(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}
