package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// hostMounts gives the container the runtime's mount namespace, and leaves out what needs one of its own.
func hostMounts(s *specs.Spec) {
	harness.WithoutNamespace(specs.MountNamespace)(s)
	s.Root.Readonly = false
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
}

// TestMountsWithoutNamespace: a container without a mount namespace has its mounts in the runtime's, until it is deleted.
func TestMountsWithoutNamespace(t *testing.T) {
	harness.OrlopOnly(t, "others leave the mounts behind")
	b := harness.New(t, hostMounts)
	rootfs := filepath.Join(b.Bundle, "rootfs")
	volume := hostDir(t, b, "volume")
	harness.WithMount("/mnt", "none", volume, "bind")(b.Spec)
	mountHost(t, filepath.Join(rootfs, "var"))
	must(t, os.WriteFile(filepath.Join(rootfs, "var/own"), nil, 0o644))
	own := link(t, "/proc/self/ns/mnt")

	pid := b.Up()
	if got := link(t, fmt.Sprintf("/proc/%d/ns/mnt", pid)); got != own {
		t.Errorf("the container's mount namespace is %s, the runtime's %s", got, own)
	}
	for _, name := range []string{"proc/1/stat", "dev/null", "mnt/f", "var/own"} {
		if _, err := os.Stat(filepath.Join(rootfs, name)); err != nil {
			t.Errorf("on the host: %v", err)
		}
	}
	if got := b.OK("exec", b.ID, "cat", "/mnt/f"); got != "of volume\n" {
		t.Errorf("in the container: %q", got)
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	left, err := os.ReadDir(filepath.Join(rootfs, "proc"))
	must(t, err)
	if len(left) > 0 {
		t.Error("procfs is still there after delete")
	}
	if _, err := os.Stat(filepath.Join(rootfs, "var/own")); err != nil {
		t.Errorf("what was mounted before is gone: %v", err)
	}
}

// TestMountsWithoutNamespaceUndone: neither a create that fails after its mounts leaves them behind, nor a killed one after its delete.
func TestMountsWithoutNamespaceUndone(t *testing.T) {
	needBusybox(t)
	harness.OrlopOnly(t, "others leave the mounts behind")
	t.Run("failed", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		addHook(b, "createRuntime", "grep -q "+b.Bundle+"/rootfs/proc /proc/self/mountinfo && exit 7")
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
		must(t, unix.Kill(hook, unix.SIGKILL))
		b.OK("delete", "--force", b.ID)
		b.CheckClean()
	})
	t.Run("another on top", func(t *testing.T) {
		b := harness.New(t, hostMounts)
		rootfs := filepath.Join(b.Bundle, "rootfs")
		b.Write()
		b.OK("create", "--bundle", b.Bundle, b.ID)
		must(t, unix.Mount("tmpfs", rootfs, "tmpfs", 0, ""))
		b.OK("delete", "--force", b.ID)
		var s unix.Statfs_t
		must(t, unix.Statfs(rootfs, &s))
		if s.Type != unix.TMPFS_MAGIC {
			t.Error("delete has unmounted what is not the container's")
		}
		must(t, unix.Unmount(rootfs, 0))
		must(t, unix.Unmount(rootfs, unix.MNT_DETACH))
	})
}
