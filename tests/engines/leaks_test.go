package engines

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/tests/harness"
)

// watchLeaks fails the test when it ends and something of a container is left that was not there before. It is called before the
// engine is started, so that it looks when that has ended.
func watchLeaks(t *testing.T, s *stage) {
	t.Helper()
	before := traces(t, s)
	t.Cleanup(func() {
		for _, process := range harness.Left(limit()) {
			t.Errorf("left behind: %s", process)
		}
		left := newer(before, traces(t, s))
		for deadline := time.Now().Add(limit() / 4); len(left) > 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			left = newer(before, traces(t, s)) // systemd may be about to remove a unit
		}
		for _, trace := range left {
			t.Errorf("left behind: %s", trace)
		}
		s.removeCgroups()
	})
}

// newer returns what is in after and not in before.
func newer(before, after map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(after)), func(trace string) bool { return before[trace] })
}

// traces names all that a container can leave: mounts, cgroups, states of runtimes, units of systemd.
func traces(t *testing.T, s *stage) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	mounts, err := harness.MountsBelow("")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range mounts {
		// Podman's own for its store, and Docker's for its network namespaces, are there as long as the machine runs.
		if path != "/var/lib/containers/storage/overlay" && path != "/run/netns" && path != "/run/docker/netns/default" {
			found["mount "+path] = true
		}
	}
	for _, path := range s.cgroups() {
		found["cgroup "+path] = true
	}
	for _, pattern := range []string{
		"/run/containerd/runc/*/*", "/run/docker/runtime-*/*/*", "/run/orlop/*", "/run/runc/*", "/run/crun/*", "/run/user/*/orlop/*",
		"/run/containerd/io.containerd.runtime.v2.task/*/*", "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/*/*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if !strings.HasPrefix(filepath.Base(path), ".") {
				found["state "+path] = true
			}
		}
	}
	if s.systemd {
		for line := range strings.Lines(output(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "*.scope")) {
			found["unit "+strings.Fields(line)[0]] = true
		}
	}
	return found
}

// cgroups lists the cgroups of all hierarchies in which containers can be.
func (s *stage) cgroups() []string {
	var found []string
	for _, root := range s.cgroupRoots() {
		for _, path := range foldersBelow(root) {
			if path != root && !slices.Contains(parents(), filepath.Base(path)) {
				found = append(found, path)
			}
		}
	}
	return found
}

// parents are the names of cgroups that engines make for all their containers' or clients' and keep; "init" is the tests' own.
func parents() []string {
	return []string{"engines", "init", "docker", "buildkit", "default", "libpod_parent", "conmon", "k8s.io"}
}

// cgroupRoots lists the folders below which all cgroups are the tests'.
func (s *stage) cgroupRoots() []string {
	if s.systemd {
		return slices.DeleteFunc([]string{filepath.Join("/sys/fs/cgroup", s.parent)}, func(path string) bool { return !exists(path) })
	}
	if s.v2 {
		return []string{"/sys/fs/cgroup"}
	}
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*")
	return hierarchies
}

// removeCgroups removes the cgroups that a test left, and those that engines keep.
func (s *stage) removeCgroups() {
	for _, root := range s.cgroupRoots() {
		for _, path := range foldersBelow(root) {
			if path != root && filepath.Base(path) != "init" {
				unix.Rmdir(path)
			}
		}
	}
}
