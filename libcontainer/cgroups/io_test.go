package cgroups

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestIOWeight(t *testing.T) {
	for weight, want := range map[uint16]uint64{1: 1, 10: 1, 11: 11, 100: 910, 500: 4950, 1000: 10000, 65535: 10000} {
		if got := ioWeight(weight); got != want {
			t.Errorf("%d: %d, want %d", weight, got, want)
		}
	}
}

// TestIOWeights: the weight is written to the file that this kernel has, in the range of that file.
func TestIOWeights(t *testing.T) {
	const resources = `{"blockIO": {"weight": 500}}`
	c := kernelCase{controller: "blkio", resources: resources, v1: []string{}, v2: []string{}}
	r, _ := c.prepare(t, hostLayout(t))
	probe := created(t, nil)
	f, v := probe.controllerDirectory("blkio")
	if v == v2 {
		if err := probe.enableControllers([]setting{{controller: "io"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct{ file, want string }{
		{"blkio.bfq.weight", "500"}, {"io.bfq.weight", "default 500"}, {"io.weight", "default 4950"}} {
		if unix.Access(f.dir+"/"+x.file, unix.F_OK) != nil {
			continue
		}
		if err := probe.Update(r); err != nil {
			t.Fatal(err)
		}
		if got := read(t, f.dir+"/"+x.file); got != x.want {
			t.Errorf("%s: %q, want %q", x.file, got, x.want)
		}
		t.Log(x.file)
		return
	}
	t.Skip("this kernel has no I/O weights")
}

// bfqDisk makes a loop device for the test, whose scheduler is BFQ, and returns its numbers.
func bfqDisk(t *testing.T) (major, minor int64) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop device can be had: %v", err)
	}
	defer control.Close()
	backing, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	if err := backing.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skipf("no loop device is free: %v", err)
		}
		loop, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDWR, 0)
		if err != nil {
			t.Skip(err)
		}
		if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(backing.Fd())); err != nil {
			loop.Close()
			if err == unix.EBUSY { // another process was faster
				continue
			}
			t.Fatal(err)
		}
		name := "/sys/block/loop" + strconv.Itoa(n)
		_, before, _ := strings.Cut(read(t, name+"/queue/scheduler"), "[")
		before, _, _ = strings.Cut(before, "]")
		t.Cleanup(func() {
			os.WriteFile(name+"/queue/scheduler", []byte(before), 0)
			if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
				t.Error(err)
			}
			loop.Close()
		})
		if err := os.WriteFile(name+"/queue/scheduler", []byte("bfq"), 0); err != nil {
			t.Skipf("this kernel has no BFQ: %v", err)
		}
		numbers := strings.Split(read(t, name+"/dev"), ":")
		major, _ = strconv.ParseInt(numbers[0], 10, 64)
		minor, _ = strconv.ParseInt(numbers[1], 10, 64)
		return major, minor
	}
}

// TestDeviceWeight: a weight for one disk, which the disk's scheduler must support.
func TestDeviceWeight(t *testing.T) {
	needRoot(t)
	major, minor := bfqDisk(t)
	m := created(t, nil)
	needController(t, m, "blkio")
	device := func(major, minor int64) *specs.LinuxResources {
		d := specs.LinuxWeightDevice{Weight: ptr(uint16(300))}
		d.Major, d.Minor = major, minor
		return &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{d}}}
	}
	if err := m.Update(device(major, minor)); err != nil {
		t.Fatal(err)
	}
	f, v := m.controllerDirectory("blkio")
	file := map[version]string{v1: "blkio.bfq.weight_device", v2: "io.bfq.weight"}[v]
	want := deviceNumber(major, minor) + " 300"
	if got := read(t, f.dir+"/"+file); !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
		t.Errorf("%s: %q, want %q in it", file, got, want)
	}
	err := m.Update(device(4095, 77))
	if err == nil || !strings.Contains(err.Error(), "linux.resources.blockIO.weightDevice[0].weight: ") || !strings.Contains(err.Error(), "4095:77 300") {
		t.Errorf("a disk that is not there: error %v", err)
	}
}
