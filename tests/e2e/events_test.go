package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

const memoryLimit = 32 << 20

// smallMemory limits a container's memory, swap included.
func smallMemory(s *specs.Spec) {
	limit := int64(memoryLimit)
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
	if s.Linux.Resources.Pids == nil {
		s.Linux.Resources.Pids = &specs.LinuxPids{}
	}
}

// hog is a shell script that needs ever more memory.
const hog = "x=0123456789; while :; do x=$x$x; done"

// statsEvent is an event's line.
type statsEvent struct {
	Type string
	ID   string
	Data map[string]any
}

// stream starts `events` and returns its lines.
func stream(t *testing.T, b *harness.Box, args ...string) (*harness.Process, *harness.Lines) {
	t.Helper()
	lines := b.Lines()
	c := b.Cmd(append(append([]string{"events"}, args...), b.ID)...)
	c.Stdout = lines.Writer
	p := c.Start()
	lines.Writer.Close()
	return p, lines
}

// parse parses an event's line.
func parse(t *testing.T, line string) statsEvent {
	t.Helper()
	var e statsEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return e
}

// TestEvents: "stats" come at each interval, and the stream ends when the container stops, deleted
// or not.
func TestEvents(t *testing.T) {
	b := harness.New(t)
	pid := b.Up()
	events, lines := stream(t, b, "--interval", "50ms")
	var last float64
	for n := range 5 {
		e := parse(t, lines.Next())
		if e.Type != "stats" || e.ID != b.ID {
			t.Fatalf("event: %+v", e)
		}
		total := e.Data["cpu"].(map[string]any)["usage"].(map[string]any)["total"].(float64)
		if total < last || total == 0 {
			t.Errorf("event %d: processor time %v after %v", n, total, last)
		}
		last = total
	}
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	if harness.Name() != "orlop" {
		b.OK("delete", b.ID) // runc's stream ends when a v1 cgroup is removed
	}
	events.Wait().OK(b)
	for {
		line, more := lines.More()
		if !more {
			break
		}
		parse(t, line)
	}
}

// TestEventsOOM: when the kernel kills for memory, watchers are notified: about any process, and
// about the first one, whose exit ends the stream.
func TestEventsOOM(t *testing.T) {
	oom := func(t *testing.T, b *harness.Box, lines *harness.Lines) {
		t.Helper()
		if line, want := lines.Next(), `{"type":"oom","id":"`+b.ID+`"}`; line != want {
			t.Errorf("got %s, want %s", line, want)
		}
	}
	t.Run("exec", func(t *testing.T) {
		b := harness.New(t, smallMemory)
		b.Up()
		first, firstLines := stream(t, b, "--interval", "1h")
		second, secondLines := stream(t, b, "--interval", "1h")
		watched(t, first)
		watched(t, second)
		for range 2 {
			b.Do("exec", b.ID, "sh", "-c", hog).Exits(b, 137)
			oom(t, b, firstLines)
			oom(t, b, secondLines)
		}
		b.Status("running")
		b.OK("delete", "--force", b.ID)
		first.Wait().OK(b)
		second.Wait().OK(b)
	})
	t.Run("first process", func(t *testing.T) {
		b := harness.New(t, smallMemory, harness.Sh("read line; "+hog))
		in, write, err := os.Pipe()
		must(t, err)
		create := b.Cmd("create", "--bundle", b.Bundle, b.ID)
		create.Stdin = in
		create.Run().OK(b)
		in.Close()
		b.OK("start", b.ID)
		events, lines := stream(t, b, "--interval", "1h")
		watched(t, events)
		pid := b.State().Pid
		write.Close()
		b.WaitGone(pid)
		oom(t, b, lines)
		if harness.Name() != "orlop" {
			b.OK("delete", b.ID)
		}
		events.Wait().OK(b)
	})
	t.Run("of another container", func(t *testing.T) { // does not affect this one
		b, other := harness.New(t, smallMemory), harness.New(t, smallMemory, harness.Sh(hog))
		pid := b.Up()
		events, lines := stream(t, b, "--interval", "1h")
		watched(t, events)
		other.Do("run", "--bundle", other.Bundle, other.ID).Exits(other, 137)
		b.OK("kill", b.ID, "KILL")
		b.WaitGone(pid)
		b.OK("delete", b.ID)
		events.Wait().OK(b)
		lines.End()
	})
}

// watched waits until a process that runs `events` watches the memory.
func watched(t *testing.T, p *harness.Process) {
	t.Helper()
	for deadline := time.Now().Add(hang.Limit); time.Now().Before(deadline); {
		if watches("/proc/" + strconv.Itoa(p.Pid)) {
			return
		}
		time.Sleep(5 * time.Millisecond) // no event reports what another process does
	}
	t.Fatalf("process %d does not watch the memory", p.Pid)
}

// watches inspects a process's descriptors. orlop's last step is to wait by epoll for v1's eventfd
// or for memory.events.
func watches(directory string) bool {
	entries, _ := os.ReadDir(directory + "/fd")
	names := map[string]string{}
	for _, entry := range entries {
		names[entry.Name()], _ = os.Readlink(filepath.Join(directory, "fd", entry.Name()))
	}
	v1 := false
	for _, name := range names {
		v1 = v1 || strings.HasSuffix(name, "/memory.oom_control")
	}
	for fd, name := range names {
		if harness.Name() != "orlop" && (v1 || strings.HasPrefix(name, "anon_inode:inotify")) {
			return true // as far as is visible
		}
		if name != "anon_inode:[eventpoll]" {
			continue
		}
		info, _ := os.ReadFile(filepath.Join(directory, "fdinfo", fd))
		process, memory := false, false
		for line := range strings.Lines(string(info)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "tfd:" {
				watched := names[fields[1]]
				// Go's own epoll does not watch one.
				process = process || strings.Contains(watched, "pidfd")
				memory = memory || strings.HasSuffix(watched, "/memory.events") || v1 && watched == "anon_inode:[eventfd]"
			}
		}
		if process && memory {
			return true
		}
	}
	return false
}

// TestEventsSleep: a process that waits for events does nothing meanwhile.
func TestEventsSleep(t *testing.T) {
	harness.OrlopOnly(t, "others may do what they like")
	b := harness.New(t, smallMemory)
	b.Up()
	events, _ := stream(t, b, "--interval", "1h")
	watched(t, events)
	switches := func() (sum int) {
		tasks, err := filepath.Glob("/proc/" + strconv.Itoa(events.Pid) + "/task/*/status")
		must(t, err)
		for _, task := range tasks {
			for line := range strings.Lines(read(t, task)) {
				if text, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
					n, err := strconv.Atoi(strings.TrimSpace(text))
					must(t, err)
					sum += n
				}
			}
		}
		return sum
	}
	// Go's runtime is busy for an unknown time after its start.
	for deadline := time.Now().Add(hang.Limit); ; {
		before := switches()
		time.Sleep(500 * time.Millisecond)
		woke := switches() - before
		if woke <= 5 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it woke %d times in half a second", woke)
		}
	}
}

// TestEventsErrors: what cannot be watched.
func TestEventsErrors(t *testing.T) {
	b := harness.New(t)
	for _, flags := range [][]string{{}, {"--stats"}} {
		b.Fails("does not exist", append(append([]string{"events"}, flags...), b.ID)...)
	}
	b.Create()
	b.OK("events", "--stats", b.ID) // a created container suffices
	b.Fails("greater than 0", "events", "--interval", "0s", b.ID)
	b.Fails("", "events", "--interval", "soon", b.ID)
	pid := b.State().Pid
	b.OK("kill", b.ID, "KILL")
	b.WaitGone(pid)
	for _, flags := range [][]string{{}, {"--stats"}} {
		b.Fails("not running", append(append([]string{"events"}, flags...), b.ID)...)
	}
}

// TestEventsNetwork: whose interfaces are counted.
func TestEventsNetwork(t *testing.T) {
	harness.OrlopOnly(t, "runc counts none that it did not make")
	interfaces := func(b *harness.Box) []any {
		t.Helper()
		list := parse(t, b.OK("events", "--stats", b.ID)).Data["network_interfaces"]
		if list == nil {
			return nil
		}
		return list.([]any)
	}
	t.Run("own", func(t *testing.T) {
		b := harness.New(t)
		b.Up()
		b.OK("exec", b.ID, "sh", "-c", "nc -l -p 7 & p=$!; until echo 1234567890 | nc 127.0.0.1 7; do kill -0 $p || exit; done")
		list := interfaces(b)
		if len(list) != 1 {
			t.Fatalf("interfaces: %v", list)
		}
		lo := list[0].(map[string]any)
		if lo["Name"] != "lo" || lo["RxBytes"].(float64) < 100 || lo["RxBytes"] != lo["TxBytes"] || lo["RxPackets"].(float64) < 3 || lo["TxErrors"] != 0.0 {
			t.Errorf("lo: %v", lo)
		}
		// Another container joins the namespace: the numbers are the same.
		joined := harness.New(t, harness.WithNamespace(specs.NetworkNamespace, fmt.Sprintf("/proc/%d/ns/net", b.State().Pid)))
		joined.Up()
		if got := interfaces(joined); !reflect.DeepEqual(got, list) {
			t.Errorf("joined: %v, want %v", got, list)
		}
	})
	t.Run("host's", func(t *testing.T) {
		b := harness.New(t, harness.WithoutNamespace(specs.NetworkNamespace))
		b.Up()
		if list := interfaces(b); list != nil {
			t.Errorf("interfaces: %v", list)
		}
	})
}

// TestStatsOfRunc: runc and the runtime under test report the same for the same cgroup, field by
// field.
func TestStatsOfRunc(t *testing.T) {
	harness.OrlopOnly(t, "it would be compared with itself")
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("needs runc (Debian: runc)")
	}
	b, guest := harness.New(t, smallMemory), harness.New(t, smallMemory)
	quota, period, limit := int64(50000), uint64(100000), int64(50)
	b.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	b.Spec.Linux.Resources.Pids.Limit = &limit
	guest.Spec.Linux.Resources = b.Spec.Linux.Resources
	guest.Spec.Linux.CgroupsPath = b.Spec.Linux.CgroupsPath
	guest.Spec.Process.Args = []string{"sleep", "1000"}
	guest.Write()
	b.Up()
	out := filepath.Join(b.Dir, "runc.out")
	byRunc := func(args ...string) string {
		t.Helper()
		f, err := os.Create(out)
		must(t, err)
		defer f.Close()
		cmd := exec.Command(runc, append([]string{"--root", filepath.Join(b.Dir, "runc")}, args...)...)
		cmd.Stdout, cmd.Stderr = f, f
		guest.Aside(cmd)
		return read(t, out)
	}
	byRunc("create", "--bundle", guest.Bundle, guest.ID)
	b.OK("pause", b.ID) // stops the counters
	defer func() {
		b.OK("resume", b.ID)
		byRunc("delete", "--force", guest.ID)
	}()
	var differences []string
	for range 10 { // the kernel moves charges between processors' accounts
		theirs := parse(t, strings.TrimPrefix(byRunc("events", "--stats", guest.ID), "\n"))
		ours := parse(t, b.OK("events", "--stats", b.ID))
		if differences = differ(jsonLeaves(ours.Data), jsonLeaves(theirs.Data)); len(differences) == 0 {
			return
		}
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// differ compares numbers by their paths; fields that this runc does not have are not compared.
func differ(ours, theirs map[string]any) (differences []string) {
	for path, value := range ours {
		_, known := theirs[path]
		// runc has pressure since 1.2, and reads no sets of cgroup2; up to 1.1 it looks for
		// cgroup2's huge pages in a file that does not exist.
		if !known && (strings.Contains(path, ".psi.") || path == "cpuset.cpus" || path == "cpuset.mems" || strings.HasPrefix(path, "hugetlb.")) {
			continue
		}
		if path == "network_interfaces" {
			continue
		}
		if theirs[path] = withoutDiscards(theirs[path]); !reflect.DeepEqual(withoutDiscards(value), theirs[path]) {
			differences = append(differences, fmt.Sprintf("%s: %v, by runc %v", path, value, theirs[path]))
		}
	}
	for path, value := range theirs {
		if _, known := ours[path]; !known && value != nil && !filled(ours, path, value) {
			differences = append(differences, fmt.Sprintf("%s: absent, by runc %v", path, value))
		}
	}
	slices.Sort(differences)
	return differences
}

// withoutDiscards removes from a list what runc does not count on cgroup2.
func withoutDiscards(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	return slices.DeleteFunc(slices.Clone(list), func(entry any) bool {
		e, ok := entry.(map[string]any)
		return ok && e["op"] == "Discard"
	})
}
