package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// counter returns the number after a word in a control file, as in "oom_kill 1"; for a file with a
// single number the word is "".
func counter(t *testing.T, file, word string) int64 {
	t.Helper()
	for line := range strings.Lines(read(t, file)) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), word)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
			return n
		}
	}
	t.Fatalf("%s: no number after %q", file, word)
	return 0
}

// waitCounter waits until a counter has reached a number. v1 has no event for changes.
func waitCounter(t *testing.T, file, word string, least int64) {
	t.Helper()
	for deadline := time.Now().Add(hang.Limit); counter(t, file, word) < least; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s does not reach %d", file, word, least)
		}
	}
}

// bomb is a shell that starts itself twice, and so on. Those that can start no more sleep.
const bomb = `f() { f & f & exec sleep 1000; }; f`

// TestForkBomb: pids.limit holds against processes that keep forking, and update raises and lowers
// it. A full container can still be entered.
func TestForkBomb(t *testing.T) {
	harness.OrlopOnly(t, "others count their own threads, and cannot enter a full container")
	h, none := hierarchyOf(t, "pids")
	if none != "" {
		t.Skip(none)
	}
	limit := int64(20)
	b := harness.New(t, func(s *specs.Spec) { s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit} })
	b.Up(harness.Sh("echo up; sh -c '" + bomb + "' 2>/dev/null & exec sleep 1000"))
	directory := h.directory(b)
	current, events := filepath.Join(directory, "pids.current"), filepath.Join(directory, "pids.events")
	waitCounter(t, events, "max ", 1)
	within := func(most int64) {
		t.Helper()
		for range 50 {
			if n := counter(t, current, ""); n > most {
				t.Fatalf("%d processes, and the limit is %d", n, most)
			}
			time.Sleep(time.Millisecond)
		}
	}
	within(20)
	b.OK("exec", b.ID, "true")
	within(20)

	refused := counter(t, events, "max ")
	b.OK("update", "--pids-limit", "40", b.ID)
	b.OK("exec", "--detach", b.ID, "sh", "-c", bomb+" 2>/dev/null")
	waitCounter(t, current, "", 21)
	waitCounter(t, events, "max ", refused+1)
	within(40)

	b.OK("update", "--pids-limit", "10", b.ID)
	if r := b.Do("exec", b.ID, "sh", "-c", "true | true"); r.Status == 0 || !strings.Contains(r.Stderr, "fork") {
		t.Errorf("a fork beyond a lowered limit: %+v", r)
	}
	if n := counter(t, filepath.Join(directory, "pids.max"), ""); n != 10 {
		t.Errorf("the limit is now %d", n)
	}
	b.OK("delete", "--force", b.ID)
	b.CheckClean()
}

// TestMemoryHog: a process that exceeds memory.limit is killed, and `events` reports the reason.
func TestMemoryHog(t *testing.T) {
	harness.OrlopOnly(t, "when others' events begin to watch is not told")
	h, none := hierarchyOf(t, "memory")
	if none != "" {
		t.Skip(none)
	}
	peak, kills := "memory.max_usage_in_bytes", "memory.oom_control"
	if h.version == 2 {
		peak, kills = "memory.peak", "memory.events"
	}
	if none := h.lacks(t, "memory", peak); none != "" {
		t.Skip(none)
	}
	limit := int64(16 << 20)
	b := harness.New(t, harness.Args("tail", "/dev/zero"), func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	})
	b.Create()
	pid := b.State().Pid
	lines := b.Lines()
	events := b.Cmd("events", "--interval", "100ms", b.ID)
	events.Stdout = lines.Writer
	watcher := events.Start()
	lines.Writer.Close()
	if line := lines.Next(); !strings.Contains(line, `"stats"`) {
		t.Errorf("first event: %s", line)
	}
	b.OK("start", b.ID)
	if status := b.WaitStatus(pid); status != 128+9 {
		t.Errorf("status %d, want that of SIGKILL", status)
	}
	if n := counter(t, filepath.Join(h.directory(b), kills), "oom_kill "); n != 1 {
		t.Errorf("%d processes killed, want 1", n)
	}
	if n := counter(t, filepath.Join(h.directory(b), peak), ""); n > limit {
		t.Errorf("it had %d bytes, and the limit is %d", n, limit)
	}
	want, found := `{"type":"oom","id":"`+b.ID+`"}`, false
	for line, ok := lines.More(); ok; line, ok = lines.More() {
		found = found || line == want
	}
	if !found {
		t.Errorf("no event %s", want)
	}
	watcher.Wait().OK(b)
	b.Status("stopped")
}

// TestCheckBeforeUpdate: a limit below the current usage is refused, even if the kernel would
// accept it, and the processes survive.
func TestCheckBeforeUpdate(t *testing.T) {
	harness.OrlopOnly(t, "runc 1.1 does not check")
	h, none := hierarchyOf(t, "memory")
	if none != "" {
		t.Skip(none)
	}
	limit := int64(64 << 20)
	// In a tmpfs and without swap, memory cannot be freed.
	b := harness.New(t, func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	})
	pid := b.Up(harness.Sh("dd if=/dev/zero of=/dev/shm/held bs=1M count=24 2>/dev/null; echo up; exec sleep 1000"))
	update := func(resources string) harness.Result {
		c := b.Cmd("update", "--resources=-", b.ID)
		c.Stdin = strings.NewReader(resources)
		return c.Run()
	}
	update(`{"memory":{"limit":8388608,"checkBeforeUpdate":true}}`).Fails(b, "linux.resources.memory.limit")
	file := "memory.limit_in_bytes"
	if h.version == 2 {
		file = "memory.max"
	}
	if n := counter(t, filepath.Join(h.directory(b), file), ""); n != limit {
		t.Errorf("the limit is now %d", n)
	}
	b.Status("running")
	update(`{"memory":{"limit":50331648,"checkBeforeUpdate":true}}`).OK(b)
	if h.version == 1 {
		update(`{"memory":{"limit":8388608}}`).Fails(b, "in use") // the kernel's own check
		b.Status("running")
		return
	}
	update(`{"memory":{"limit":8388608,"checkBeforeUpdate":false}}`).OK(b)
	if status := b.WaitStatus(pid); status != 128+9 {
		t.Errorf("status %d, want that of SIGKILL", status)
	}
}

// TestCPUBurner: processes that use all available processor time get what cpu.quota allows, before
// and after update.
func TestCPUBurner(t *testing.T) {
	h, none := hierarchyOf(t, "cpu")
	if none != "" {
		t.Skip(none)
	}
	usage := func(b *harness.Box) time.Duration {
		return time.Duration(counter(t, filepath.Join(h.directory(b), "cpu.stat"), "usage_usec ")) * time.Microsecond
	}
	if h.version == 1 {
		accounts, none := hierarchyOf(t, "cpuacct")
		if none != "" {
			t.Skip(none)
		}
		usage = func(b *harness.Box) time.Duration {
			return time.Duration(counter(t, filepath.Join(accounts.directory(b), "cpuacct.usage"), ""))
		}
	}
	quota, period := int64(10000), uint64(50000)
	b := harness.New(t, func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period} })
	b.Up(harness.Sh("echo up; while :; do :; done & while :; do :; done"))
	precede(t, b, h)
	holds := func(want float64) {
		t.Helper()
		begin, used := time.Now(), usage(b)
		for {
			time.Sleep(2 * time.Second)
			share := float64(usage(b)-used) / float64(time.Since(begin))
			if share > 0.9*want && share < 1.1*want {
				return
			}
			if time.Since(begin) > hang.Limit {
				t.Errorf("the processes had %.1f %% of a processor, want %.1f %%", 100*share, 100*want)
				return
			}
		}
	}
	holds(0.2)
	b.OK("update", "--cpu-quota", "5000", b.ID)
	holds(0.1)
	b.OK("update", "--cpu-quota", "30000", "--cpu-period", "100000", b.ID)
	holds(0.3)
}

// precede gives the box's cgroup and its parent the greatest weight for the rest of the test, so
// that the quota's share is available on a busy machine, too.
func precede(t *testing.T, b *harness.Box, h hierarchy) {
	t.Helper()
	file, most, usual := "cpu.shares", "262144", "1024"
	if h.version == 2 {
		file, most, usual = "cpu.weight", "10000", "100"
	}
	above := filepath.Join(filepath.Dir(h.directory(b)), file)
	must(t, os.WriteFile(filepath.Join(h.directory(b), file), []byte(most), 0))
	must(t, os.WriteFile(above, []byte(most), 0))
	t.Cleanup(func() { must(t, os.WriteFile(above, []byte(usual), 0)) })
}
