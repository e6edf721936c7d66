package security

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// programBeside makes a directory in the image with a program, and beside it a link to a directory
// of the host that has a file of that name. It returns the program's path on the host, and the
// names to swap.
func programBeside(t *testing.T, b *harness.Box, out string) (program string, names []string) {
	t.Helper()
	dir := directory(t, filepath.Join(b.Rootfs, "programs"))
	program = filepath.Join(dir, "file")
	must(t, os.Link(filepath.Join(b.Rootfs, "bin/busybox"), program))
	must(t, os.Symlink(out, filepath.Join(b.Rootfs, "link")))
	return program, []string{"programs", "link"}
}

// TestSwappedCheck: while check inspects the program of a container, a neighbour swaps its
// directory and a link that leads out. Nothing of the host is opened.
func TestSwappedCheck(t *testing.T) {
	harness.OrlopOnly(t, "others have no check")
	b := harness.New(t, harness.Args("/programs/file"))
	out, check := outside(t, b)
	_, names := programBeside(t, b, out)
	opened := opens(t, filepath.Join(out, "file"))
	neighbour := swap(t, b.Rootfs, names...)
	attempts(t, 200, func(int) {
		quick(b, "check", "--bundle", b.Bundle)
		if opened() {
			t.Error("check has opened a file of the host")
		}
	})
	neighbour.end(t)
	check()
}

// TestNaiveCheck is the positive control: a program that inspects a path and then opens it opens
// the host's file in the same race.
func TestNaiveCheck(t *testing.T) {
	b := harness.New(t)
	out, _ := outside(t, b)
	program, names := programBeside(t, b, out)
	opened := opens(t, filepath.Join(out, "file"))
	neighbour := swap(t, b.Rootfs, names...)
	found := false
	for end := time.Now().Add(hang.Limit); !found && time.Now().Before(end); found = opened() {
		if info, err := os.Lstat(program); err != nil || !info.Mode().IsRegular() {
			continue
		}
		f, err := os.OpenFile(program, os.O_RDONLY|unix.O_NONBLOCK, 0)
		must(t, err)
		f.Close()
	}
	neighbour.end(t)
	if !found {
		t.Error("the race was never lost: it does not show anything")
	}
}
