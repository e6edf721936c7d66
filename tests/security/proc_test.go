package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// TestCVE2025_52881_SwappedIntoProc: CVE-2019-16884, CVE-2025-52881. The link that a neighbour
// swaps with the directory of a mount point leads into the container's own procfs, through which a
// sysctl must be written.
func TestCVE2025_52881_SwappedIntoProc(t *testing.T) {
	harness.OrlopOnly(t, "an attack that succeeds harms the host")
	const parameter = "/proc/sys/kernel/shm_rmid_forced" // of the IPC namespace
	before, err := os.ReadFile(parameter)
	must(t, err)
	value := "1\n"
	if string(before) == value {
		value = "0\n"
	}
	b := harness.New(t, harness.Args("cat", parameter, "/proc/self/mountinfo"))
	out, check := outside(t, b)
	volume := directory(t, filepath.Join(b.Dir, "volume"))
	for _, dir := range []string{"sys", "self"} {
		directory(t, filepath.Join(volume, dir))
		must(t, os.Symlink("/proc/"+dir, filepath.Join(volume, dir+"-link")))
	}
	directory(t, filepath.Join(volume, "sys/kernel"))
	directory(t, filepath.Join(volume, "self/attr"))
	b.Spec.Mounts = append(b.Spec.Mounts, []specs.Mount{
		{Destination: "/vol", Type: "bind", Source: volume, Options: []string{"rbind"}},
		{Destination: "/vol/sys/kernel", Type: "bind", Source: out, Options: []string{"rbind"}},
		{Destination: "/vol/self/attr", Type: "bind", Source: out, Options: []string{"rbind"}},
		{Destination: "/vol/sys", Type: "tmpfs", Source: "probe"},
	}...)
	b.Spec.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": strings.TrimSpace(value)}
	b.Write()

	neighbour := swap(t, volume, "sys", "sys-link", "self", "self-link")
	race(t, rounds, neighbour, func() harness.Result {
		r := b.Do("run", "--bundle", b.Bundle, b.ID)
		if r.Status != 0 && !strings.Contains(r.Stderr, "mounts[") {
			t.Errorf("status %d, not for a mount: %s", r.Status, r.Stderr)
		}
		return r
	}, func(r harness.Result) {
		info, ok := strings.CutPrefix(r.Stdout, value)
		for line := range strings.Lines(info) {
			inProc := strings.HasPrefix(strings.Fields(line)[4], "/proc/")
			ok = ok && !(inProc && (strings.Contains(line, out) || strings.Contains(line, " probe ")))
		}
		if !ok {
			t.Errorf("the parameter is not %q, or something is mounted in the procfs:\n%s", value, r.Stdout)
		}
	})
	check()
	if after, err := os.ReadFile(parameter); err != nil || string(after) != string(before) {
		t.Errorf("the host's parameter is %q, %v; was %q", after, err, before)
	}
}
