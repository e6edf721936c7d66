package cgroups

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
)

// mountHierarchies mounts v1 hierarchies with the named options below the directory $1, runs the
// program, and returns the controllers: one whose hierarchy is unmounted before its last cgroup is
// really gone never comes back to cgroup2.
const mountHierarchies = `
dir=$1 run=$2; shift 2
for options; do
	mkdir "$dir/$options"
	try=0
	until mount -t cgroup -o "$options" none "$dir/$options" 2>"$dir/error"; do
		try=$((try + 1))
		if [ $try = 20 ] || ! grep -qi busy "$dir/error"; then cat "$dir/error" >&2; exit 75; fi
		sleep 0.1 # a controller in use on cgroup2: by a test elsewhere, whose end nothing tells
	done
done
"$ORLOP_TEST_BINARY" -test.v -test.run "$run"
status=$?
for options; do
	case $options in
	none,*) sleep 0.2;; # not in /proc/cgroups
	*)
		for try in $(seq 500); do
			[ "$(find "$dir/$options" -type d | wc -l)" = 1 ] || break # somebody else's
			grep -q "^$options	[0-9]*	1	" /proc/cgroups && break
			sleep 0.01
		done;;
	esac
	umount "$dir/$options"
done
exit $status
`

// TestPrivateHierarchies runs tests of this package again with v1 hierarchies that the host does
// not have, mounted only for them.
func TestPrivateHierarchies(t *testing.T) {
	needRoot(t)
	lockControllers(t)
	const named = "none,name=orlop-test"
	for _, tt := range []struct {
		controllers []string
		run         string
		shows       []string // must have passed
	}{
		{[]string{"net_cls", "net_prio", "perf_event", named}, "^(TestKernelTakesResources|TestSpawnInEveryHierarchy|TestFreeze)$/^(net.*|)$",
			[]string{"TestKernelTakesResources/net_cls/create", "TestKernelTakesResources/net_prio/update", "TestSpawnInEveryHierarchy"}},
		{[]string{"hugetlb"}, "^(TestKernelTakesResources|TestKernelUpdates)$",
			[]string{"TestKernelTakesResources/hugetlb/create", "TestKernelTakesResources/hugetlb/update", "TestKernelUpdates/hugetlb-enabled-late"}},
		{[]string{"rdma"}, "^TestKernelRefusals$", []string{"TestKernelRefusals/rdma-device"}},
		{[]string{"misc"}, "^TestSpawnInEveryHierarchy$", []string{"TestSpawnInEveryHierarchy"}},
	} {
		t.Run(tt.controllers[0], func(t *testing.T) {
			layout := hostLayout(t)
			m, err := New(layout, "", testID(t))
			if err != nil {
				t.Fatal(err)
			}
			known, before := read(t, "/proc/cgroups"), read(t, "/proc/self/cgroup")
			for _, c := range tt.controllers {
				if m.v1(c) != nil {
					t.Skipf("this host has a hierarchy with %s, so that its tests run there", c)
				}
				if c != named && !strings.Contains(known, "\n"+c+"\t") {
					t.Skipf("this kernel has no controller %s", c)
				}
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/bin/sh", append([]string{"-c", mountHierarchies, "sh", t.TempDir(), tt.run}, tt.controllers...)...)
			cmd.Env = append(os.Environ(), "ORLOP_TEST_BINARY="+self)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() == 75 {
				t.Skipf("a hierarchy cannot be mounted, as when cgroup2 uses the controller: %s", out)
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			for _, test := range tt.shows {
				if !strings.Contains(string(out), "--- PASS: "+test+" ") {
					t.Errorf("%s has not passed:\n%s", test, out)
				}
			}
			waitTest(t, "the hierarchies to be gone", func() bool {
				own := read(t, "/proc/self/cgroup")
				for _, c := range tt.controllers {
					c = ":" + strings.TrimPrefix(c, "none,") + ":"
					// One that existed before stays: a program had mounted it for itself and has
					// cgroups in it.
					if strings.Contains(own, c) && !strings.Contains(before, c) {
						return false
					}
				}
				return true
			})
		})
	}
}

// lockControllers keeps other tests from moving a controller between cgroup2 and v1, or using it,
// until the test ends. Tests of other packages that run at the same time take the same lock
// (tests/harness, LockControllers).
func lockControllers(t *testing.T) {
	t.Helper()
	if os.Getenv("ORLOP_TEST_BINARY") != "" {
		return // TestPrivateHierarchies has started this process, and holds it
	}
	fd, err := sys.OpenFd("/sys/fs/cgroup", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return // then there is no conflict
	}
	t.Cleanup(func() { unix.Close(fd) })
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
}
