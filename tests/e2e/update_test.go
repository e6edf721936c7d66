package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/harness"
)

// limitOf reads the kernel's limit of memory or pids for the box.
func limitOf(t *testing.T, b *harness.Box, controller string) string {
	t.Helper()
	h, none := hierarchyOf(t, controller)
	if none != "" {
		t.Skip(none)
	}
	file := controller + ".max"
	if controller == "memory" && h.version == 1 {
		file = "memory.limit_in_bytes"
	}
	return strings.TrimSpace(read(t, filepath.Join(h.directory(b), file)))
}

func checkLimits(t *testing.T, b *harness.Box, memory, pids string) {
	t.Helper()
	if got := limitOf(t, b, "memory"); got != memory {
		t.Errorf("memory is limited to %s, want %s", got, memory)
	}
	if got := limitOf(t, b, "pids"); got != pids {
		t.Errorf("pids are limited to %s, want %s", got, pids)
	}
}

// TestUpdate: the ways in which engines and people call it.
func TestUpdate(t *testing.T) {
	b := harness.New(t)
	b.Up()
	update := func(stdin string, args ...string) {
		t.Helper()
		c := b.Cmd(append([]string{"update"}, args...)...)
		c.Stdin = strings.NewReader(stdin)
		c.Run().OK(b)
	}
	update("", "--memory", "64m", "--pids-limit", "50", b.ID)
	checkLimits(t, b, "67108864", "50")
	update(`{"memory":{"limit":50331648}}`, "--resources=-", b.ID) // containerd
	checkLimits(t, b, "50331648", "50")
	update(`{"pids":{"limit":60}}`, "--resources", "-", b.ID) // CRI-O
	checkLimits(t, b, "50331648", "60")
	update(`{"devices":null,"memory":{"limit":33554432},"cpu":{},"blockIO":{}}`, "-r", "-", b.ID)
	checkLimits(t, b, "33554432", "60")
	file := filepath.Join(b.Dir, "resources.json")
	must(t, os.WriteFile(file, []byte(`{"memory":{"limit":67108864},"pids":{"limit":70}}`), 0o644))
	update("", "--resources", file, b.ID)
	checkLimits(t, b, "67108864", "70")
	update("", b.ID)
	checkLimits(t, b, "67108864", "70")
	b.Status("running")
}

// TestUpdateFlagsOverFile: flags override the file, and the rest of the file applies, too.
func TestUpdateFlagsOverFile(t *testing.T) {
	harness.OrlopOnly(t, "runc ignores flags beside a file")
	b := harness.New(t)
	b.OK("create", "--bundle", b.Bundle, b.ID)
	c := b.Cmd("update", b.ID, "--memory", "32MiB", "--resources", "-")
	c.Stdin = strings.NewReader(`{"memory":{"limit":67108864,"swap":-1},"pids":{"limit":70}}`)
	c.Run().OK(b)
	checkLimits(t, b, "33554432", "70")
}

// TestUpdateStates: a created or a paused container can be updated, and keeps its status; a stopped
// one cannot.
func TestUpdateStates(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 calls a stopped container something else")
	b := harness.New(t, harness.Sh("trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"))
	lines := b.Create()
	pid := b.State().Pid
	b.OK("update", "--memory", "64m", "--pids-limit", "50", b.ID)
	checkLimits(t, b, "67108864", "50")
	b.Status("created")
	b.OK("start", b.ID)
	if line := lines.Next(); line != "up" {
		t.Errorf("got %q", line)
	}
	checkLimits(t, b, "67108864", "50")

	b.OK("pause", b.ID)
	b.OK("update", "--memory", "32m", "--pids-limit", "40", b.ID)
	checkLimits(t, b, "33554432", "40")
	b.Status("paused")
	b.OK("resume", b.ID)
	checkLimits(t, b, "33554432", "40")

	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	b.Fails("container not running", "update", "--memory", "64m", b.ID)
}

// TestUpdateOfKilledCreate: the remains of a killed create have no limits to update.
func TestUpdateOfKilledCreate(t *testing.T) {
	harness.OrlopOnly(t, "it is about orlop's state directory")
	b := harness.New(t)
	must(t, os.MkdirAll(filepath.Join(b.Root, b.ID), 0o700))
	b.Fails("container not running", "update", "--memory", "64m", b.ID)
	b.OK("delete", "--force", b.ID)
}

// TestUpdateRefused: the error names a limit that the kernel, or the host, refuses, also for
// programs.
func TestUpdateRefused(t *testing.T) {
	harness.OrlopOnly(t, "the messages are orlop's")
	b := harness.New(t)
	b.Up()
	b.OK("update", "--memory", "64m", "--pids-limit", "50", b.ID)
	log := filepath.Join(b.Dir, "log")
	for _, tt := range []struct{ resources, field string }{
		{`{"cpu":{"cpus":"4000"}}`, "linux.resources.cpu.cpus"},
		{`{"cpu":{"mems":"63"}}`, "linux.resources.cpu.mems"},
		{`{"pids":{"limit":9000000000000000000}}`, "linux.resources.pids.limit"},
		{`{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`, "linux.resources.hugepageLimits[0]"},
		{`{"cpu":{"quota":1}}`, "linux.resources.cpu.quota"},
		{`{"memory":{"limit":67108864,"swap":1}}`, "linux.resources.memory.swap"},
		{`{"rdma":{"none":{"hcaHandles":1}}}`, "linux.resources.rdma.none"},
		{`{"unified":{"../cgroup.procs":"0"}}`, `linux.resources.unified["../cgroup.procs"]`},
		{`{"unified":{"cgroup.procs":"0"}}`, `linux.resources.unified["cgroup.procs"]`},
		{`{"unified":{"cgroup.freeze":"1"}}`, `linux.resources.unified["cgroup.freeze"]`},
		{`{"unified":{"nothing.max":"1"}}`, `linux.resources.unified["nothing.max"]`},
		{`{"unified":{"cgroup.nothing":"1"}}`, `linux.resources.unified["cgroup.nothing"]`},
		{`{"memory":[]}`, "linux.resources.memory"},
	} {
		must(t, os.WriteFile(log, nil, 0o644))
		c := b.Cmd("--log", log, "--log-format", "json", "update", "--resources", "-", b.ID)
		c.Stdin = strings.NewReader(tt.resources)
		c.Run().Fails(b, tt.field)
		var entry struct{ Level, Msg, Field string }
		must(t, json.Unmarshal([]byte(read(t, log)), &entry))
		if entry.Level != "error" || entry.Field != tt.field || !strings.Contains(entry.Msg, tt.field) {
			t.Errorf("%s: the log says %+v", tt.resources, entry)
		}
	}
	checkLimits(t, b, "67108864", "50")
	b.Status("running")
}

// TestExecAtPidsLimit: a process can be started in a container that is full, or nearly so, and the
// limit is then unchanged. (Which of the runtime's own steps reaches the limit depends on the
// remaining room.)
func TestExecAtPidsLimit(t *testing.T) {
	harness.OrlopOnly(t, "others cannot enter a full container")
	b := harness.New(t)
	b.Up(harness.Sh("echo up; exec sleep 1000"))
	for _, limit := range []string{"0", "1", "2", "3", "4", "5"} {
		b.OK("update", "--pids-limit", limit, b.ID)
		b.OK("exec", b.ID, "true")
		if got := limitOf(t, b, "pids"); got != limit {
			t.Errorf("pids are limited to %s, want %s", got, limit)
		}
	}
}

// TestUpdateBesideExec: an exec into a full container, which makes room for a moment, does not undo
// an update.
func TestUpdateBesideExec(t *testing.T) {
	harness.OrlopOnly(t, "others cannot enter a full container")
	one := int64(1)
	b := harness.New(t, func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &one} })
	b.Up(harness.Sh("echo up; exec sleep 1000"))
	for _, limit := range []string{"2", "1", "3", "1"} {
		var execs []*harness.Process
		for range 4 {
			execs = append(execs, b.Cmd("exec", b.ID, "true").Start())
		}
		b.OK("update", "--pids-limit", limit, b.ID)
		for _, p := range execs {
			p.Wait().OK(b)
		}
		if got := limitOf(t, b, "pids"); got != limit {
			t.Fatalf("pids are limited to %s, want %s", got, limit)
		}
	}
}
