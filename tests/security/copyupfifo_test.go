package security

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// swappedFIFOs fills a directory with regular files and FIFOs that have a writer, and returns the pairs of names.
func swappedFIFOs(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for i := range regularFiles {
		file, fifo := fmt.Sprintf("file%d", i), fmt.Sprintf("fifo%d", i)
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("regular\n"), 0o644))
		must(t, unix.Mkfifo(filepath.Join(dir, fifo), 0o666))
		writer, err := os.OpenFile(filepath.Join(dir, fifo), os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { writer.Close() })
		names = append(names, file, fifo)
	}
	return names
}

// TestSwappedCopyUpFIFO: as TestSwappedCopyUp, with FIFOs that somebody holds open: who opens one and reads waits without end.
func TestSwappedCopyUpFIFO(t *testing.T) {
	harness.OrlopOnly(t, "others wait without end")
	b := harness.New(t, harness.Args("true"))
	volume := filepath.Join(b.Dir, "volume")
	data := folder(t, filepath.Join(volume, "data"))
	names := swappedFIFOs(t, data)
	b.Spec.Mounts = append(b.Spec.Mounts,
		specs.Mount{Destination: "/vol", Type: "bind", Source: volume, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nodev", "size=1m"}})
	b.Write()
	run := func() harness.Result { return quick(b, "run", "--bundle", b.Bundle, b.ID) }
	race(t, rounds, swap(t, data, names...), run, func(harness.Result) {})
}

// TestNaiveCopyUpFIFO is the positive control: who looks at a name, and then opens it, opens a FIFO in the same race.
func TestNaiveCopyUpFIFO(t *testing.T) {
	dir := folder(t, filepath.Join(harness.New(t).Dir, "volume"))
	names := swappedFIFOs(t, dir)
	neighbour := swap(t, dir, names...)
	found := false
	for end := time.Now().Add(hang.Limit); !found && time.Now().Before(end); {
		for _, name := range names {
			path := filepath.Join(dir, name)
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
				found = found || isFIFO(t, path)
			}
		}
	}
	neighbour.end(t)
	if !found {
		t.Error("the race was never lost: it does not show anything")
	}
}

// isFIFO opens a path as it may be opened without waiting, and reports whether that is a FIFO.
func isFIFO(t *testing.T, path string) bool {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	var stat unix.Stat_t
	must(t, unix.Fstat(fd, &stat))
	return stat.Mode&unix.S_IFMT == unix.S_IFIFO
}
