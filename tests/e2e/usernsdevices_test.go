package e2e

import (
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// withDevice adds an entry to linux.devices.
func withDevice(path string, major, minor int64, mode os.FileMode, uid, gid uint32) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: path, Type: "c", Major: major, Minor: minor, FileMode: &mode, UID: &uid, GID: &gid})
	}
}

// TestUserNamespaceDevices: a device is that of the configuration, whatever the host has at its
// path, with its mode and owner.
func TestUserNamespaceDevices(t *testing.T) {
	b := harness.New(t, withUser(shifted()), withDevice("/dev/nowhere", 1, 3, 0o646, 5, 6), withDevice("/dev/zero", 1, 3, 0o666, 0, 0),
		withDevice("/dev/deep/down", 1, 5, 0o604, 7, 8), harness.Sh(`stat -c '%n %t:%T %a %u:%g' /dev/nowhere /dev/zero /dev/deep/down
			head -c 3 /dev/zero | wc -c; head -c 3 /dev/deep/down | wc -c; echo x > /dev/nowhere && echo written`))
	own(t, b, 100000)
	want := "/dev/nowhere 1:3 646 5:6\n/dev/zero 1:3 666 0:0\n/dev/deep/down 1:5 604 7:8\n0\n3\nwritten\n"
	if got := b.Run().OK(b); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b = harness.New(t, withUser(shifted()), withDevice("/dev/other", 1, 3, 0o600, 70000, 0), harness.Args("true"))
	b.Run().Fails(b, "linux.devices[0].uid: 70000 is not mapped in the container's user namespace")
}

// TestRootlessDevices: an ordinary user's runtime can only bind a node of the host, and does so if
// that is the device.
func TestRootlessDevices(t *testing.T) {
	for _, c := range []struct {
		path    string
		problem string
	}{
		{"/dev/null", ""},
		{"/dev/zero", "linux.devices[0]: make device /dev/zero (c 1:3, mode 0666): no such device or address (the node cannot be made here, and the host's of that path is another device)"},
		{"/dev/nowhere", "linux.devices[0]: make device /dev/nowhere (c 1:3, mode 0666): open_tree: no such file or directory (the node cannot be made here, and the host has none of that path)"},
	} {
		b := harness.New(t)
		asOrdinary(t, b)
		withDevice(c.path, 1, 3, 0o666, 0, 0)(b.Spec)
		r := b.Run(harness.Sh("stat -c %t:%T " + c.path))
		if c.problem != "" {
			r.Fails(b, c.problem)
		} else if got := r.OK(b); got != "1:3\n" {
			t.Errorf("%s: got %q", c.path, got)
		}
	}
}
