package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// docker gives the box the config that Docker 20.10 wrote; only the cgroup is the test's own, so
// that its cleanup is checked.
func docker(t *testing.T, b *harness.Box) {
	t.Helper()
	data, err := os.ReadFile("testdata/docker.json")
	must(t, err)
	b.Spec = &specs.Spec{}
	must(t, json.Unmarshal(data, b.Spec))
	b.Spec.Linux.CgroupsPath = harness.CgroupParent() + "/" + b.ID
	b.Write()
}

// TestDocker runs Docker's config without its seccomp profile.
func TestDocker(t *testing.T) {
	b := harness.New(t)
	docker(t, b)
	b.Spec.Linux.Seccomp = nil
	b.Write()
	b.OK("run", "--bundle", b.Bundle, b.ID)
	b.CheckClean()

	got := b.Sh("hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; grep ^CapEff /proc/self/status | cut -f2")
	if want := "docker-like\n0\n100\n00000000a80425fb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.CheckClean()
}

// TestDockerUnchanged: with the seccomp profile it runs, or is refused with a clear error: never
// without the profile.
func TestDockerUnchanged(t *testing.T) {
	b := harness.New(t)
	docker(t, b)
	r := b.Run(harness.Sh("grep ^Seccomp: /proc/self/status"))
	if r.Status == 0 {
		if r.Stdout != "Seccomp:\t2\n" {
			t.Errorf("it runs without its filter: %q", r.Stdout)
		}
	} else if !strings.Contains(r.Stderr, "linux.seccomp") {
		t.Errorf("the error doesn't name the field: %s", r.Stderr)
	}
	b.CheckClean()
}

// TestDockerLifecycle: create, start, exec, kill, delete of Docker's config.
func TestDockerLifecycle(t *testing.T) {
	b := harness.New(t)
	docker(t, b)
	b.Spec.Linux.Seccomp = nil
	pid := b.Up()
	if got := b.OK("exec", b.ID, "sh", "-c", "grep ^CapEff /proc/self/status | cut -f2; hostname"); got != "00000000a80425fb\ndocker-like\n" {
		t.Errorf("got %q", got)
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.OK("delete", b.ID)
	b.CheckClean()
}
