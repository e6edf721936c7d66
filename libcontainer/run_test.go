package libcontainer_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/libcontainer"
	"github.com/orlop/orlop/specconv"
)

// needsRoot skips a test that cannot make containers here.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("needs busybox: ", err)
	}
}

// runScript runs a container whose process is a shell with a script, and returns what the streams that change does not set have got.
func runScript(t *testing.T, script string, change func(dir string, s *specs.Spec, o *libcontainer.CreateOptions)) string {
	t.Helper()
	needsRoot(t)
	var o libcontainer.CreateOptions
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.Stdout, o.Stderr = w, w
	dir := makeBundle(func(s *specs.Spec) { s.Process.Args = []string{"sh", "-c", script} }, func(dir string, s *specs.Spec) { change(dir, s, &o) })
	defer os.RemoveAll(dir)
	bundle, err := specconv.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rt := &libcontainer.Runtime{Root: filepath.Join(dir, "state")}
	c, err := rt.Run("test", bundle, o)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := c.Process().Wait(); err != nil || code != 0 {
		t.Errorf("status %d, %v; output:\n%s", code, err, out)
	}
	if err := c.Delete(); err != nil {
		t.Error(err)
	}
	return string(out)
}

// TestTmpfsMode: a tmpfs without a mode has that of the folder that it covers.
func TestTmpfsMode(t *testing.T) {
	out := runScript(t, "busybox stat -c %a /covered /new /given", func(dir string, s *specs.Spec, _ *libcontainer.CreateOptions) {
		covered := filepath.Join(dir, "rootfs/covered")
		if err := os.Mkdir(covered, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(covered, 0o750); err != nil {
			t.Fatal(err)
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/covered", Type: "tmpfs"}, specs.Mount{Destination: "/new", Type: "tmpfs"},
			specs.Mount{Destination: "/given", Type: "tmpfs", Options: []string{"mode=711"}})
	})
	if out != "750\n1777\n711\n" {
		t.Errorf("modes are %q", out)
	}
}
