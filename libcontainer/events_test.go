package libcontainer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
	"github.com/orlop/orlop/tests/hang"
)

// runLimited runs a shell's script in a container with little memory, with a pipe for its standard
// input.
func runLimited(t *testing.T, script string) (_ *libcontainer.Container, stdin *os.File) {
	t.Helper()
	needsRoot(t)
	limit := int64(32 << 20)
	dir := makeBundle(func(s *specs.Spec) {
		s.Process.Args = []string{"sh", "-c", script}
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	})
	t.Cleanup(func() { os.RemoveAll(dir) })
	bundle, err := specconv.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	rt := &libcontainer.Runtime{Root: filepath.Join(dir, "state"), Warn: func(message string) { t.Log(message) }}
	c, err := rt.Run("test", bundle, libcontainer.CreateOptions{Streams: libcontainer.Streams{Stdin: r}})
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.KillAll(unix.SIGKILL)
		c.Process().Wait()
		if err := c.Delete(); err != nil {
			t.Error(err)
		}
	})
	return c, w
}

// TestEvents: the sequence has the counters at each interval, the lack of memory, and an end.
func TestEvents(t *testing.T) {
	c, stdin := runLimited(t, "read line; x=0123456789; while :; do x=$x$x; done")
	ctx, cancel := context.WithTimeout(t.Context(), hang.Limit)
	defer cancel()
	var kinds []libcontainer.EventType
	for event, err := range c.Events(ctx, 20*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if event.ID != "test" || (event.Stats == nil) == (event.Type == libcontainer.EventStats) {
			t.Errorf("event: %+v", event)
		}
		if kinds = append(kinds, event.Type); len(kinds) == 3 {
			if slices.Contains(kinds, libcontainer.EventOOM) {
				t.Errorf("events: %v", kinds)
			}
			stdin.Close()
		}
	}
	if !slices.Contains(kinds, libcontainer.EventOOM) {
		t.Errorf("no lack of memory: %v", kinds)
	}
	for _, err := range c.Events(ctx, 0) {
		if !errors.Is(err, libcontainer.ErrNotRunning) {
			t.Errorf("events of a stopped container: %v", err)
		}
	}
	if _, err := c.Stats(); !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Errorf("stats of a stopped container: %v", err)
	}
}

// TestEventsCancelled: a context and a break end the sequence, and no descriptor stays open.
func TestEventsCancelled(t *testing.T) {
	c, _ := runLimited(t, "read line")
	before := openDescriptors(t)
	for range 3 {
		for event, err := range c.Events(t.Context(), time.Millisecond) {
			if err != nil || event.Stats.Pids.Current != 1 || event.Stats.Memory.Usage.Limit != 32<<20 {
				t.Errorf("event: %+v, %v", event, err)
			}
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		n := 0
		for _, err := range c.Events(ctx, 0) {
			if n++; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		if n != 1 {
			t.Errorf("%d results, want the error alone", n)
		}
		cancel()
	}
	if after := openDescriptors(t); after > before+2 { // Go's own epoll, made with the first wait
		t.Errorf("%d descriptors are open, and %d were before", after, before)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
