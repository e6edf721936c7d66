package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// A hierarchy is where a controller's files are on this host: a v1 one, or cgroup2.
type hierarchy struct {
	version int
	mount   string
}

// directory returns the box's cgroup in the hierarchy.
func (h hierarchy) directory(b *harness.Box) string { return filepath.Join(h.mount, b.Cgroup) }

// hierarchyOf finds a controller; what is the reason when there is none.
func hierarchyOf(t *testing.T, controller string) (h hierarchy, what string) {
	t.Helper()
	if mount := harness.CgroupMount(controller); mount != "" {
		return hierarchy{1, mount}, ""
	}
	mount := harness.CgroupMount("")
	if mount == "" {
		return h, "no hierarchy of the cgroup controller " + controller + " is mounted, and no cgroup2"
	}
	h = hierarchy{2, mount}
	has := strings.Fields(read(t, filepath.Join(mount, "cgroup.controllers")))
	if name := h.name(controller); name != "" && !slices.Contains(has, name) {
		return h, fmt.Sprintf("the cgroup controller %s is neither mounted as v1 nor in cgroup2's cgroup.controllers (%s)", name, strings.Join(has, " "))
	}
	return h, ""
}

// name returns the controller's name there; "" for what each cgroup2 has without a controller for
// it, or none at all.
func (h hierarchy) name(controller string) string {
	if h.version == 1 {
		return controller
	}
	switch controller {
	case "blkio":
		return "io"
	case "devices", "net_cls", "net_prio":
		return ""
	}
	return controller
}

// mountV1 mounts a v1 controller's hierarchy that the host doesn't mount, for this test and in this
// process's mount namespace. It skips the test if the kernel has none, or cgroup2 uses the
// controller. It must be called before the box is made, whose cgroups must be gone before the
// hierarchy can be unmounted.
func mountV1(t *testing.T, controller string) hierarchy {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if harness.CgroupMount(controller) != "" {
		t.Skipf("%s of v1 is mounted by the host: tested there", controller)
	}
	if !strings.Contains(read(t, "/proc/cgroups"), "\n"+controller+"\t") {
		t.Skipf("this kernel has no cgroup controller %s: not in /proc/cgroups", controller)
	}
	// Earlier tests may have enabled it. The kernel refuses this if others use the controller.
	if unified := harness.CgroupMount(""); unified != "" {
		for _, directory := range []string{harness.CgroupParent(), ""} {
			os.WriteFile(filepath.Join(unified, directory, "cgroup.subtree_control"), []byte("-"+controller), 0)
		}
	}
	dir, err := os.MkdirTemp("", "orlop-e2e-v1-")
	must(t, err)
	// Removed cgroups keep a controller for a moment.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Mount("cgroup", dir, "cgroup", 0, controller)
		if err != unix.EBUSY || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		os.Remove(dir)
		t.Skipf("mount %s of v1: %v (EBUSY: cgroup2 has given it to cgroups; EINVAL: not built in)", controller, err)
	}
	t.Cleanup(func() {
		os.Remove(filepath.Join(dir, harness.CgroupParent()))
		if left, _ := filepath.Glob(dir + "/*/"); len(left) > 0 {
			t.Errorf("left behind: cgroups %q", left)
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
		os.Remove(dir)
	})
	return hierarchy{1, dir}
}

// lacks returns why the kernel does not provide a file in cgroups although it has the controller;
// "" if it does.
func (h hierarchy) lacks(t *testing.T, controller, file string) string {
	t.Helper()
	probe := filepath.Join(h.mount, fmt.Sprintf("orlop-probe-%d", os.Getpid()))
	if name := h.name(controller); h.version == 2 && name != "" {
		if err := os.WriteFile(filepath.Join(h.mount, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
			return fmt.Sprintf("cgroup2 does not let cgroups have %s: %v", name, err)
		}
	}
	must(t, os.Mkdir(probe, 0o755))
	defer os.Remove(probe)
	if _, err := os.Stat(filepath.Join(probe, file)); err != nil {
		return fmt.Sprintf("this kernel's cgroups (v%d) have no %s", h.version, file)
	}
	return ""
}

// disk returns a block device of the test with the I/O scheduler bfq: a loop device on a file. It
// is freed after the test. The result is its number, "7:0", or the reason why there is none.
func disk(t *testing.T) (number, none string) {
	t.Helper()
	// Debian has loop devices as a module; a failure shows below.
	_, _ = harness.Output(exec.Command("modprobe", "loop"))
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Sprintf("no loop devices: %v", err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Sprintf("no loop device is free: %v", err)
	}
	name := "loop" + strconv.Itoa(n)
	path := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, 1<<20))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	device, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
	if err != nil {
		return "", err.Error()
	}
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, int(file.Fd())); err != nil {
		device.Close()
		return "", fmt.Sprintf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		must(t, unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0))
		device.Close()
	})
	queue := "/sys/block/" + name + "/queue/scheduler"
	before := strings.TrimSpace(read(t, queue))
	if err := os.WriteFile(queue, []byte("bfq"), 0); err != nil {
		return "", fmt.Sprintf("%s cannot have the I/O scheduler bfq (%s): %v", name, before, err)
	}
	_, rest, _ := strings.Cut(before, "[")
	usual, _, _ := strings.Cut(rest, "]")
	t.Cleanup(func() { must(t, os.WriteFile(queue, []byte(usual), 0)) })
	return strings.TrimSpace(read(t, "/sys/block/"+name+"/dev")), ""
}
