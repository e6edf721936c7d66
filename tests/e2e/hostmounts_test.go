package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// hostMounts gives the container the runtime's mount namespace, and leaves out what needs one of
// its own.
func hostMounts(s *specs.Spec) {
	harness.WithoutNamespace(specs.MountNamespace)(s)
	s.Root.Readonly = false
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
}

// TestMountsWithoutNamespace: a container without a mount namespace has its mounts in the
// runtime's, until it is deleted.
func TestMountsWithoutNamespace(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	b := harness.New(t, hostMounts)
	volume := hostDir(t, b, "volume")
	harness.WithMount("/mnt", "none", volume, "bind")(b.Spec)
	harness.MountTmpfs(t, filepath.Join(b.Rootfs, "var"))
	must(t, os.WriteFile(filepath.Join(b.Rootfs, "var/own"), nil, 0o644))
	own := link(t, "/proc/self/ns/mnt")

	pid := b.Up()
	if got := link(t, fmt.Sprintf("/proc/%d/ns/mnt", pid)); got != own {
		t.Errorf("the container's mount namespace is %s, the runtime's %s", got, own)
	}
	for _, name := range []string{"proc/1/stat", "dev/null", "mnt/f", "var/own"} {
		if _, err := os.Stat(filepath.Join(b.Rootfs, name)); err != nil {
			t.Errorf("on the host: %v", err)
		}
	}
	if got := b.OK("exec", b.ID, "cat", "/mnt/f"); got != "of volume\n" {
		t.Errorf("in the container: %q", got)
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	left, err := os.ReadDir(filepath.Join(b.Rootfs, "proc"))
	must(t, err)
	if len(left) > 0 {
		t.Error("procfs is still there after delete")
	}
	if _, err := os.Stat(filepath.Join(b.Rootfs, "var/own")); err != nil {
		t.Errorf("what was mounted before is gone: %v", err)
	}
}

// TestMountsWithoutNamespaceUndone: a create that fails after its mounts does not leave them
// behind, and neither does the delete after a killed one.
func TestMountsWithoutNamespaceUndone(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others leave the mounts behind")
	t.Run("failed", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		addHook(b, "createRuntime", "grep -q "+b.Rootfs+"/proc /proc/self/mountinfo && exit 7")
		b.Fails("exit status 7", "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	})
	t.Run("killed", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		lines := b.Lines()
		must(t, passFile(b, lines))
		addHook(b, "createRuntime", "echo here > "+b.Dir+"/said; exec sleep 1000")
		p := b.Cmd("create", "--bundle", b.Bundle, b.ID).Start()
		if line := lines.Next(); line != "here" {
			t.Fatalf("the hook says %q", line)
		}
		hook := childOf(t, p.Pid, "sleep")
		p.Signal(unix.SIGKILL)
		p.Wait()
		b.WaitGone(hook) // it exits with the runtime
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
	t.Run("failed mount", func(t *testing.T) {
		b := harness.New(t, hostMounts, harness.WithMount("/mnt", "tmpfs", "tmpfs", "size=none"))
		b.Write()
		b.Fails("mounts[", "create", "--bundle", b.Bundle, b.ID)
		b.CheckClean()
	})
	t.Run("failed start", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		addHook(b, "poststart", "exit 7")
		b.Fails("exit status 7", "run", "--bundle", b.Bundle, b.ID)
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
	t.Run("ended run", func(t *testing.T) {
		b := harness.New(t, hostMounts, harness.Args("test", "-e", "/proc/1/stat"))
		b.Run().OK(b)
		b.CheckClean()
	})
}

// TestMountsWithoutNamespaceNested: mounts on mounts of the container, including later ones of the
// host, are removed with it; no other mount is touched, or becomes shared.
func TestMountsWithoutNamespaceNested(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	b := harness.New(t, hostMounts)
	volume := hostDir(t, b, "volume")
	harness.MountTmpfs(t, filepath.Join(volume, "own"))
	for _, m := range [][]string{{"/mnt", "tmpfs", "tmpfs"}, {"/mnt/a", "tmpfs", "tmpfs"}, {"/mnt/a/v", "none", volume, "rbind", "rshared"}} {
		harness.WithMount(m[0], m[1], m[2], m[3:]...)(b.Spec)
	}
	before := hostMountinfo(t)

	pid := b.Up()
	must(t, os.Mkdir(filepath.Join(b.Rootfs, "mnt/later"), 0o755))
	must(t, unix.Mount("tmpfs", filepath.Join(b.Rootfs, "mnt/later"), "tmpfs", 0, ""))
	if got := b.OK("exec", b.ID, "cat", "/mnt/a/v/f"); got != "of volume\n" {
		t.Errorf("in the container: %q", got)
	}
	if got := elsewhere(hostMountinfo(t), b.Rootfs); !slices.Equal(got, before) {
		t.Errorf("the mounts elsewhere are now\n%s\nand were\n%s", got, before)
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	if got := hostMountinfo(t); !slices.Equal(got, before) {
		t.Errorf("the mounts are now\n%s\nand were\n%s", got, before)
	}
}

// TestMountsWithoutNamespaceShared: if the root filesystem is on a shared mount, as is usual with
// systemd, other namespaces do not see the container's mounts, and keep none of them.
func TestMountsWithoutNamespaceShared(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	b := harness.New(t, hostMounts)
	shared, peer := b.Bundle, filepath.Join(b.Dir, "peer")
	must(t, os.Mkdir(peer, 0o755))
	must(t, unix.Mount(shared, shared, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(shared, unix.MNT_DETACH) })
	must(t, unix.Mount("", shared, "", unix.MS_SHARED, ""))
	must(t, unix.Mount(shared, peer, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(peer, unix.MNT_DETACH) })
	before := hostMountinfo(t)

	pid := b.Up()
	if _, err := os.Stat(filepath.Join(shared, "rootfs/proc/1/stat")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(peer, "rootfs/proc/1/stat")); err == nil {
		t.Error("the container's procfs is where it was not configured")
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	if got := hostMountinfo(t); !slices.Equal(got, before) {
		t.Errorf("the mounts are now\n%s\nand were\n%s", got, before)
	}
}

// TestMountsWithoutNamespaceCovered: mounts of a container that are below others are not forgotten.
func TestMountsWithoutNamespaceCovered(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	t.Run("by the host", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		b.Write()
		b.OK("create", "--bundle", b.Bundle, b.ID)
		must(t, unix.Mount("tmpfs", b.Rootfs, "tmpfs", 0, ""))
		b.Fails("root.path: another mount lies on those of the container", "delete", "--force", b.ID)
		var s unix.Statfs_t
		must(t, unix.Statfs(b.Rootfs, &s))
		if s.Type != unix.TMPFS_MAGIC {
			t.Error("delete has unmounted what is not the container's")
		}
		b.Status("stopped")
		must(t, unix.Unmount(b.Rootfs, 0))
		b.OK("delete", b.ID)
		b.CheckClean()
	})
	t.Run("by a container", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		b.Write()
		other := b.ID + "-other"
		b.OK("create", "--bundle", b.Bundle, b.ID)
		b.Spec.Linux.CgroupsPath += "-other"
		b.Write()
		b.OK("create", "--bundle", b.Bundle, other)
		b.Fails("root.path: another mount lies on those of the container", "delete", "--force", b.ID)
		b.OK("delete", "--force", other)
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
	t.Run("elsewhere", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		b.Write()
		b.OK("create", "--bundle", b.Bundle, b.ID)
		must(t, unix.Unmount(b.Rootfs, unix.MNT_DETACH))
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
}

// TestMountsWithoutNamespaceKilled: delete --force removes everything that a create leaves when it
// is killed at any moment.
func TestMountsWithoutNamespaceKilled(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	b := harness.New(t, hostMounts, harness.Args("sleep", "1000"))
	b.Write()
	latest := latestKill(b, func() {}, "create", "--bundle", b.Bundle, b.ID)
	for range killedRounds() / 4 {
		if r := killAtRandom(b.Cmd("create", "--bundle", b.Bundle, b.ID), latest); r.Status != 137 {
			r.OK(b)
		}
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
		if t.Failed() {
			t.FailNow() // the next rounds would fail in the same way
		}
	}
}

// hostMountinfo returns the lines of the test's mounts.
func hostMountinfo(t *testing.T) []string {
	t.Helper()
	return strings.Split(read(t, "/proc/self/mountinfo"), "\n")
}

// elsewhere removes the mounts in a directory from the list.
func elsewhere(mountinfo []string, dir string) []string {
	return slices.DeleteFunc(mountinfo, func(line string) bool { return strings.Contains(line, " "+dir) })
}
