package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// volume makes a directory of the host with a file in it, which belongs to uid and gid.
func volume(t *testing.T, b *harness.Box, uid, gid int) string {
	t.Helper()
	dir := hostDir(t, b, "volume")
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644))
	must(t, os.Chown(filepath.Join(dir, "file"), uid, gid))
	must(t, os.Chmod(dir, 0o777))
	return dir
}

func mappedMount(source string, uids, gids []specs.LinuxIDMapping, options ...string) specs.Mount {
	return specs.Mount{Destination: "/volume", Type: "bind", Source: source, Options: options, UIDMappings: uids, GIDMappings: gids}
}

// TestIDMappedMount: a file has the mapped IDs, and new files have the IDs on the disk that the map
// assigns.
func TestIDMappedMount(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 has none")
	uids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 100}}
	gids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 2000, Size: 100}}
	b := harness.New(t)
	dir := volume(t, b, 5, 6)
	b.Spec.Process.User = specs.User{UID: 1007, GID: 2008}
	b.Spec.Mounts = append(b.Spec.Mounts, mappedMount(dir, uids, gids, "rbind", "idmap"))
	if got := b.Sh("stat -c %u:%g /volume/file; touch /volume/new; stat -c %u:%g /volume/new"); got != "1005:2006\n1007:2008\n" {
		t.Errorf("got %q", got)
	}
	if uid := ownerOf(t, filepath.Join(dir, "new")); uid != 7 {
		t.Errorf("on the disk, the new file belongs to %d", uid)
	}
	b.CheckClean()
}

// TestIDMappedMountInUserNamespace: with the maps of the container's namespace, IDs inside are
// those on the disk.
func TestIDMappedMountInUserNamespace(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 has none")
	b := harness.New(t, withUser(shifted()))
	own(t, b, 100000)
	dir := volume(t, b, 5, 6)
	b.Spec.Mounts = append(b.Spec.Mounts, mappedMount(dir, nil, nil, "rbind", "ridmap"))
	if got := b.Sh("stat -c %u:%g /volume/file; touch /volume/new; stat -c %u:%g /volume/new"); got != "5:6\n0:0\n" {
		t.Errorf("got %q", got)
	}
	if uid := ownerOf(t, filepath.Join(dir, "new")); uid != 0 {
		t.Errorf("on the disk, the new file belongs to %d", uid)
	}
	b.CheckClean()
}

// TestIDMappedFileSystem: not only bind mounts are mapped.
func TestIDMappedFileSystem(t *testing.T) {
	harness.OrlopOnly(t, "runc maps bind mounts only")
	list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 100}}
	b := harness.New(t)
	m := mappedMount("tmpfs", list, list, "idmap")
	m.Type = "tmpfs"
	b.Spec.Mounts = append(b.Spec.Mounts, m)
	r := b.Run(harness.Args("stat", "-c", "%u:%g", "/volume"))
	if r.Status != 0 && strings.Contains(r.Stderr, "tmpfs") && strings.Contains(r.Stderr, "on this kernel") {
		t.Skip("this kernel's tmpfs has no id-mapped mounts (since Linux 6.3)")
	}
	if got := r.OK(b); got != "1000:1000\n" {
		t.Errorf("got %q", got)
	}
}

// TestIDMapFails: the error names the field and the filesystem, and nothing is left.
func TestIDMapFails(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 has none")
	list := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 100}}
	b := harness.New(t)
	b.Spec.Mounts = append(b.Spec.Mounts, mappedMount("/proc/sys", list, list, "bind", "idmap"))
	r := b.Run()
	r.Fails(b, "mounts[7]: map its ids: mount_setattr: invalid argument")
	r.Fails(b, "proc at /proc/sys")
	b.CheckClean()
	b.Spec.Mounts[7] = mappedMount("/etc", nil, nil, "bind", "idmap")
	b.Run().Fails(b, "mounts[7].options: idmap needs uidMappings and gidMappings, or a user namespace")
}
