package cgroups

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRealTimeAfterDelete: a new cgroup gets all the real-time runtime of one that was just
// deleted.
func TestRealTimeAfterDelete(t *testing.T) {
	needRoot(t)
	layout := hostLayout(t)
	probe, err := New(layout, "", testID(t))
	if err != nil {
		t.Fatal(err)
	}
	f := probe.v1("cpu")
	if f == nil || unix.Access(f.mount+"/cpu.rt_runtime_us", unix.F_OK) != nil {
		t.Skip("no v1 hierarchy here has real-time group scheduling")
	}
	const all = 10000
	parent := testID(t)
	dir := filepath.Join(f.mount, parent)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/cpu.rt_runtime_us", []byte("10000"), 0); err != nil {
		t.Skipf("other cgroups have all real-time runtime: %v", err)
	}
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: ptr(int64(all))}}
	for range 5 {
		m, err := New(layout, "/"+parent+"/child", "child")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = m.Delete()
			for _, path := range m.Paths() {
				_ = os.Remove(filepath.Dir(path))
			}
		})
		if err := m.Create(r); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir+"/child/cpu.rt_runtime_us"); got != itoa(all) {
			t.Fatalf("cpu.rt_runtime_us is %s, want %d", got, all)
		}
		if err := m.Delete(); err != nil {
			t.Fatal(err)
		}
	}
}
