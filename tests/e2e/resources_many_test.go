package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/orlop/orlop/tests/harness"
)

// TestManyContainers: 200 at once; each has its cgroups, is listed, paused, resumed and deleted,
// and nothing is left.
func TestManyContainers(t *testing.T) {
	harness.OrlopOnly(t, "others take minutes")
	many := 200
	if testing.Short() {
		many = 40
	}
	t.Run("cgroupfs", func(t *testing.T) {
		b := harness.New(t, harness.Args("sleep", "1000"))
		testMany(t, b, makeBundles(t, b, many), b.Cgroup+"-*")
	})
	t.Run("systemd", func(t *testing.T) {
		b, _ := managed(t, harness.Args("sleep", "1000"))
		cgroups := strings.TrimSuffix(b.Cgroup, ".scope") + "-*.scope"
		testMany(t, b, makeBundles(t, b, many), cgroups)
		if left := systemctl(b, "list-units", "--all", "--plain", "--no-legend", filepath.Base(cgroups)); left != "" {
			t.Errorf("left behind: units\n%s", left)
		}
	})
}

// testMany makes the containers, whose cgroups have names of this pattern, pauses and resumes them,
// and deletes them.
func testMany(t *testing.T, b *harness.Box, ids []string, cgroups string) {
	t.Helper()
	mounts := read(t, "/proc/self/mountinfo")
	runAll(b, ids, "run", "--detach")
	checkListed(b, "running", len(ids))
	if n := len(cgroupsLike(t, cgroups)); n < len(ids) {
		t.Errorf("%d cgroups, want one at least of each container", n)
	}
	runAll(b, ids, "pause")
	checkListed(b, "paused", len(ids))
	runAll(b, ids, "resume")
	checkListed(b, "running", len(ids))
	runAll(b, ids, "delete", "--force")
	if out := b.OK("list", "--quiet"); out != "" {
		t.Errorf("still listed: %s", out)
	}
	if left := cgroupsLike(t, cgroups); len(left) != 0 {
		t.Errorf("left behind: cgroups %q", left)
	}
	if after := read(t, "/proc/self/mountinfo"); after != mounts {
		t.Errorf("mounts were\n%s\nand are\n%s", mounts, after)
	}
	b.CheckClean()
}

// makeBundles makes bundles that share the box's root filesystem, each in a directory named like
// its container.
func makeBundles(t *testing.T, b *harness.Box, n int) (ids []string) {
	t.Helper()
	b.Spec.Root.Path = b.Rootfs
	own := b.Spec.Linux.CgroupsPath
	for i := range n {
		id := b.ID + "-" + strconv.Itoa(i)
		b.Spec.Linux.CgroupsPath = own + "-" + strconv.Itoa(i)
		data, err := json.Marshal(b.Spec)
		must(t, err)
		dir := filepath.Join(b.Dir, id)
		must(t, os.Mkdir(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
		ids = append(ids, id)
	}
	return ids
}

// runAll runs a command for each container, several at a time.
func runAll(b *harness.Box, ids []string, args ...string) {
	b.T.Helper()
	for len(ids) > 0 {
		some := ids[:min(4, len(ids))]
		ids = ids[len(some):]
		var started []*harness.Process
		for _, id := range some {
			c := append([]string{}, args...)
			if args[0] == "run" {
				c = append(c, "--bundle", filepath.Join(b.Dir, id))
			}
			started = append(started, b.Cmd(append(c, id)...).Start())
		}
		for _, p := range started {
			p.Wait().OK(b)
		}
	}
}

func checkListed(b *harness.Box, status string, want int) {
	b.T.Helper()
	if n := strings.Count(b.OK("list", "--format", "json"), `"status":"`+status+`"`); n != want {
		b.T.Errorf("%d containers are listed as %s, want %d", n, status, want)
	}
}

// cgroupsLike finds cgroups by a pattern of their paths, in all hierarchies.
func cgroupsLike(t *testing.T, pattern string) (found []string) {
	t.Helper()
	for controllers := range cgroupDirectories(t, os.Getpid()) {
		list, err := filepath.Glob(filepath.Join(harness.CgroupMount(controllers), pattern))
		must(t, err)
		found = append(found, list...)
	}
	return found
}
