package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestDockerResources(t *testing.T) {
	var r specs.LinuxResources
	dockerResources(t, &r)
	m := created(t, &r)
	if m.v1("memory") == nil || m.v1("devices") == nil || m.v1("cpu") == nil || m.v1("pids") == nil {
		t.Skip("reads the files of v1 controllers, which this host does not have")
	}
	spawn(t, m, "/bin/sleep", "1000")
	for file, want := range map[string]string{
		"memory/memory.limit_in_bytes": "536870912", "memory/memory.memsw.limit_in_bytes": "1073741824",
		"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "cpu/cpu.shares": "1024", "pids/pids.max": "100",
		"devices/devices.list": "c 1:5 rwm\nc 1:3 rwm\nc 1:9 rwm\nc 1:8 rwm\nc 5:0 rwm\nc 5:1 rwm\nc *:* m\nb *:* m\nc 1:7 rwm\nc 5:2 rwm\nc 136:* rwm\nc 10:200 rwm",
	} {
		controller, name := filepath.Split(file)
		if got := read(t, filepath.Join(m.v1(filepath.Clean(controller)).dir, name)); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

// TestRaiseAndLower: one order of writes serves both ways.
func TestRaiseAndLower(t *testing.T) {
	m := created(t, nil)
	if m.v1("memory") == nil {
		t.Skip("no v1 memory controller")
	}
	for _, limits := range [][2]int64{{1 << 20, 2 << 20}, {8 << 20, 16 << 20}, {1 << 20, 1 << 20}, {-1, -1}, {4 << 20, 4 << 20}} {
		list, err := settings(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limits[0], Swap: &limits[1]}}, m.version, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.write(list); err != nil {
			t.Errorf("%v: %v", limits, err)
		}
	}
	list, _ := settings(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4 << 20)), Swap: ptr(int64(2 << 20))}}, m.version, true)
	if err := m.write(list); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a swap limit below the memory limit: error %v", err)
	}
}

func TestSmallLimits(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		if _, err := os.Stat("/bin/busybox"); err != nil {
			t.Skip("no busybox: a dynamic program may need more")
		}
		probe, err := New(hostLayout(t), "", "x")
		if err != nil {
			t.Fatal(err)
		}
		// This includes the shell that joins; the end-to-end tests have the smallest limit.
		limit := int64(1 << 20)
		if probe.version("memory") == v2 {
			// A process is charged from its start, including what the kernel charges in advance for
			// each processor.
			limit = 4 << 20
		}
		for i := range 20 {
			// Each in a new cgroup, because the charges of a dead process are returned with a
			// delay, after an RCU grace period.
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				m := created(t, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
				joins := m.Joins()
				var pid int
				if m.JoinMemoryLater() { // like a container's process
					joins = append(m.Joins(), "memory")
				}
				if err := m.Spawn(onOneCPU(forkExec(m, joins, &pid, "/bin/busybox", "true"))); err != nil {
					t.Fatal(err)
				}
				if got := exitStatus(t, pid); got != 0 {
					t.Errorf("status %d", got)
				}
			})
		}
	})
	t.Run("pids", func(t *testing.T) {
		m := created(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}})
		if got := exitStatus(t, spawn(t, m, "/bin/true")); got != 0 {
			t.Errorf("status %d", got)
		}
		// A fork is refused as soon as the configured limit is reached.
		f, _ := m.controllerDirectory("pids")
		script := "while read max <" + f.dir + "/pids.max && [ $max != 1 ]; do :; done; /bin/true; exit 0"
		if got := exitStatus(t, spawn(t, m, "/bin/sh", "-c", script)); got == 0 {
			t.Error("a second process was allowed")
		}
		// One more process from outside can enter, as by cgroup.procs, also through a manager from
		// the state record.
		spawn(t, m, "/bin/sleep", "1000")
		loaded := Load(hostLayout(t), m.Paths())
		for range 3 {
			var pid int
			entry := loaded.Entry(false, false)
			err := loaded.SpawnInto(entry, forkExec(loaded, slices.Concat(entry.First, entry.Last, entry.Inside), &pid, "/bin/sleep", "1000"))
			if errors.Is(err, ErrFull) {
				entry = loaded.Entry(false, true)
				err = loaded.SpawnInto(entry, forkExec(loaded, slices.Concat(entry.First, entry.Last, entry.Inside), &pid, "/bin/sleep", "1000"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, f.dir+"/pids.max"); got != "1" {
			t.Errorf("pids.max %s afterwards", got)
		}
	})
}

// onOneCPU starts a process on one processor. The kernel charges up to 256 KiB in advance for each
// processor that a process has run on.
func onOneCPU(fork func(int) error) func(int) error {
	return func(unifiedFD int) error {
		var all, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			return err
		}
		for cpu := 0; one.Count() == 0; cpu++ {
			if all.IsSet(cpu) {
				one.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return err
		}
		return errors.Join(fork(unifiedFD), unix.SchedSetaffinity(0, &all))
	}
}
