package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"

	"github.com/orlop/orlop/tests/hang"
	"github.com/orlop/orlop/tests/harness"
)

// monitor starts and waits for the commands of go-runc through the harness, which reaps this
// process's children.
type monitor struct{}

func (monitor) Start(cmd *exec.Cmd) (chan runc.Exit, error) {
	if err := harness.StartOther(cmd); err != nil {
		return nil, err
	}
	exit := make(chan runc.Exit, 1)
	go func() {
		status := 0
		if err := harness.WaitOther(cmd); err != nil {
			status = 255
			if e := (*exec.ExitError)(nil); errors.As(err, &e) {
				status = e.ExitCode()
			}
		}
		exit <- runc.Exit{Timestamp: time.Now(), Pid: cmd.Process.Pid, Status: status}
		close(exit)
	}()
	return exit, nil
}

func (m monitor) StartLocked(cmd *exec.Cmd) (chan runc.Exit, error) { return m.Start(cmd) }

func (monitor) Wait(_ *exec.Cmd, exit chan runc.Exit) (int, error) { return (<-exit).Status, nil }

// client is containerd's own client of the runtime under test.
func client(t *testing.T, b *harness.Box) (*runc.Runc, context.Context) {
	t.Helper()
	was := runc.Monitor
	runc.Monitor = monitor{}
	t.Cleanup(func() { runc.Monitor = was })
	ctx, cancel := context.WithTimeout(t.Context(), hang.Limit)
	t.Cleanup(cancel)
	return &runc.Runc{Command: harness.Runtime(), Root: b.Root}, ctx
}

// TestContainerdClient: containerd's client gets the expected data from events and ps.
func TestContainerdClient(t *testing.T) {
	b := harness.New(t, smallMemory)
	limit := int64(100)
	b.Spec.Linux.Resources.Pids.Limit = &limit
	pid := b.Up()
	client, ctx := client(t, b)

	pids, err := client.Ps(ctx, b.ID)
	must(t, err)
	// The shell and, as soon as it has been started, its sleep.
	if !slices.Contains(pids, pid) || len(pids) > 2 {
		t.Errorf("ps: %v, want two at most, with %d", pids, pid)
	}
	top, err := client.Top(ctx, b.ID, "-eopid,comm")
	must(t, err)
	if !slices.Equal(top.Headers, []string{"PID", "COMMAND"}) {
		t.Errorf("ps: %+v", top)
	}

	s, err := client.Stats(ctx, b.ID)
	// go-runc may close the pipe before it has read it if the command is quicker.
	for range 5 {
		if !errors.Is(err, os.ErrClosed) {
			break
		}
		s, err = client.Stats(ctx, b.ID)
	}
	must(t, err)
	checkDecoded(t, s)
	events, err := client.Events(ctx, b.ID, time.Second)
	must(t, err)
	for n := 0; n < 2; {
		event, ok := <-events
		if !ok || event.Err != nil || event.ID != b.ID {
			t.Fatalf("event %+v, %v", event, ok)
		}
		if event.Type == "stats" {
			checkDecoded(t, event.Stats)
			n++
		}
	}
	b.OK("kill", b.ID, "KILL")
	if harness.Name() != "orlop" {
		b.WaitGone(pid)
		b.OK("delete", b.ID) // runc's stream ends when a v1 cgroup is removed
	}
	for event := range events { // which ends
		if errors.Is(event.Err, os.ErrClosed) {
			// The command's end closed the pipe before go-runc had read it; go-runc then repeats
			// that error forever.
			break
		}
		if event.Err != nil {
			t.Fatalf("event: %v", event.Err)
		}
	}
}

// checkDecoded checks numbers of a container that smallMemory made and that runs a shell and a
// sleep.
func checkDecoded(t *testing.T, s *runc.Stats) {
	t.Helper()
	if s == nil {
		t.Fatal("no stats")
	}
	if s.Pids.Current != 2 || s.Pids.Limit != 100 {
		t.Errorf("pids: %+v", s.Pids)
	}
	if m := s.Memory; m.Usage.Limit != memoryLimit || m.Usage.Usage == 0 || m.Usage.Usage > memoryLimit || len(m.Raw) < 10 {
		t.Errorf("memory: %+v", m)
	}
	if u := s.Cpu.Usage; u.Total == 0 || u.Total > 60e9 {
		t.Errorf("cpu: %+v", s.Cpu)
	}
	if harness.Name() == "orlop" && (len(s.NetworkInterfaces) == 0 || s.NetworkInterfaces[0].Name != "lo") {
		t.Errorf("network: %+v", s.NetworkInterfaces)
	}
}

// TestStatsDecode: containerd's types find everything they know where they expect it, and all of
// our fields that they do not know are listed here.
func TestStatsDecode(t *testing.T) {
	b := harness.New(t, smallMemory)
	b.Up()
	out := b.OK("events", "--stats", b.ID)
	if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
		t.Errorf("not one line: %q", out)
	}
	var event runc.Event
	must(t, json.Unmarshal([]byte(out), &event))
	if event.Type != "stats" || event.ID != b.ID {
		t.Errorf("event: %+v", event)
	}
	again, err := json.Marshal(event)
	must(t, err)
	var ours, theirs map[string]any
	must(t, json.Unmarshal([]byte(out), &ours))
	must(t, json.Unmarshal(again, &theirs))
	got, want := jsonLeaves(theirs), jsonLeaves(ours)
	for path, value := range got {
		if ours, ok := want[path]; !(ok && reflect.DeepEqual(ours, value)) && !filled(want, path, value) {
			t.Errorf("%s: containerd reads %v, and it is %v (%v)", path, value, ours, ok)
		}
	}
	for path := range want {
		_, known := got[path]
		field := strings.TrimPrefix(path, "data.")
		if !known && !strings.HasPrefix(field, "cpuset.") && !strings.Contains(field, ".psi.") && field != "intel_rdt" &&
			!strings.HasPrefix(field, "cpu.usage.percpu_") && want[path] != 0.0 && want[path] != nil {
			t.Errorf("%s: containerd does not know it", path)
		}
	}
}

// filled reports whether value is an empty object that has content in the other document.
func filled(other map[string]any, path string, value any) bool {
	if object, ok := value.(map[string]any); !ok || len(object) > 0 {
		return false
	}
	for longer := range other {
		if strings.HasPrefix(longer, path+".") {
			return true
		}
	}
	return false
}

// jsonLeaves lists the values of a JSON document by their paths, including empty objects and
// arrays.
func jsonLeaves(v any) map[string]any {
	found := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 {
				found[path] = v
			}
			for key, value := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
		default:
			found[path] = v
		}
	}
	walk("", v)
	return found
}
