package security

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// writableCgroups gives a container a cgroup namespace of its own, and a writable mount of its
// cgroups.
func writableCgroups(s *specs.Spec) {
	harness.WithNamespace("cgroup", "")(s)
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/sys/fs/cgroup" {
			s.Mounts[i].Options = slices.DeleteFunc(s.Mounts[i].Options, func(o string) bool { return o == "ro" })
		}
	}
}

// A hideout is what a process of a container does, in cgroups that it has made, to avoid being
// killed. The shell's variable p is the process's PID.
type hideout struct {
	name, controller, script string
	armed                    func(top string) bool
}

var hideouts = []hideout{
	{"frozen", "freezer", `mkdir -p a/b && echo $p > a/b/cgroup.procs
if [ -e a/cgroup.freeze ]; then echo 1 > a/cgroup.freeze; else echo FROZEN > a/freezer.state; fi`,
		func(top string) bool {
			v1, err := os.ReadFile(filepath.Join(top, "a/freezer.state"))
			v2, err2 := os.ReadFile(filepath.Join(top, "a/cgroup.events"))
			return err == nil && string(v1) == "FROZEN\n" || err2 == nil && strings.Contains(string(v2), "frozen 1")
		}},
	{"deep", "pids", `n=$(printf 'x%.0s' $(seq 1 200)); i=0; while [ $i -lt 40 ]; do mkdir $n && cd -P $n || exit 1; i=$((i+1)); done
echo $p > cgroup.procs`,
		func(top string) bool { // no path reaches it
			err := filepath.WalkDir(top, func(_ string, _ fs.DirEntry, err error) error { return err })
			return errors.Is(err, unix.ENAMETOOLONG)
		}},
}

// TestHideouts: a container that may write to its cgroups hides a process there. It is killed
// nevertheless, and deleted with its cgroups.
func TestHideouts(t *testing.T) {
	harness.OrlopOnly(t, "others leave processes behind")
	ends := [][]string{{"kill"}, {"delete", "--force"}}
	attempts(t, 2*len(hideouts)*len(ends), func(n int) {
		h, end, pod := hideouts[n%len(hideouts)], ends[n/len(hideouts)%len(ends)], n/len(hideouts)/len(ends)%2 == 1
		t.Run(fmt.Sprintf("%s %s %v %d", h.name, end[0], pod, n), func(t *testing.T) {
			mount := harness.CgroupMount(h.controller)
			if mount == "" {
				mount = harness.CgroupMount("")
			}
			b := harness.New(t, writableCgroups)
			if pod { // where the exit of the first process ends no other
				first := harness.New(t).Up()
				harness.WithNamespace("pid", fmt.Sprintf("/proc/%d/ns/pid", first))(b.Spec)
			}
			b.Up(harness.Sh("sleep 1000 & p=$!; echo up; echo $p > /dev/shm/p; exec sleep 1000"))
			b.OK("exec", b.ID, "sh", "-c", `while [ ! -s /dev/shm/p ]; do sleep 0.01; done; p=$(cat /dev/shm/p)
cd /sys/fs/cgroup; [ -d `+h.controller+` ] && cd `+h.controller+"\n"+h.script)
			top := filepath.Join(mount, b.Cgroup)
			// Freezing takes a moment.
			for end := time.Now().Add(hang.Limit); !h.armed(top); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s: the trap is not armed", top)
				}
			}
			pids := processesOf(t, b)
			if len(pids) != 2 {
				t.Errorf("%d processes, want 2", len(pids))
			}
			if end[0] == "kill" {
				quick(b, "kill", b.ID, "KILL").OK(b)
			}
			quick(b, "delete", "--force", b.ID).OK(b)
			for _, pid := range pids {
				b.WaitGone(pid)
			}
			b.CheckClean()
		})
	})
}

// processesOf returns the PIDs of a container's processes.
func processesOf(t *testing.T, b *harness.Box) (pids []int) {
	t.Helper()
	must(t, json.Unmarshal([]byte(b.OK("ps", "--format", "json", b.ID)), &pids))
	return pids
}

// chaseEnv makes this package's test binary a process of a container whose PID keeps changing.
const chaseEnv = "ORLOP_TEST_CHASE"

// chase runs lines of processes, in which each forks the next and exits.
func chase() {
	signal.Ignore(unix.SIGCHLD)
	fmt.Println("up")
	fork := func() (child bool) {
		pid, _, err := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		return err == 0 && pid == 0
	}
	for range 20 {
		if !fork() {
			continue
		}
		for { // only raw system calls, as in bomb
			if pid, _, err := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0); err == 0 && pid != 0 {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
	}
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// TestChase: processes that fork and exit faster than their PIDs can be read are killed, also in a
// shared PID namespace.
func TestChase(t *testing.T) {
	harness.OrlopOnly(t, "others leave processes behind")
	pod := harness.New(t)
	first := pod.Up()
	most := int64(200)
	missed := 0
	attempts(t, 4, func(n int) {
		b := harness.New(t, func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &most}}
			s.Process.Env = append(s.Process.Env, chaseEnv+"=1", "GOMAXPROCS=1")
		})
		harness.CopySelf(t, filepath.Join(b.Rootfs, "self"))
		if n%2 == 1 {
			harness.WithNamespace("pid", fmt.Sprintf("/proc/%d/ns/pid", first))(b.Spec)
		}
		b.Up(harness.Args("/self"))
		// Positive control: most PIDs that are read are those of processes that have exited since.
		before := processesOf(t, b)
		for _, pid := range before {
			if unix.Kill(pid, 0) == unix.ESRCH {
				missed++
			}
		}
		if n/2%2 == 0 {
			quick(b, "kill", b.ID, "KILL").OK(b)
		}
		quick(b, "delete", "--force", b.ID).OK(b)
		b.CheckClean()
	})
	if missed == 0 {
		t.Error("no process was gone when it was looked for: this shows nothing")
	}
}
