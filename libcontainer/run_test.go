package libcontainer_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

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

// runScript runs a container whose process is a shell with a script, and returns what the streams
// that change does not set have got.
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

// TestTmpfsMode: a tmpfs without a mode has that of the directory that it covers.
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

// TestStreamsOwner: standard streams belong to the process's user, who may open them again.
func TestStreamsOwner(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out := runScript(t, "echo one; echo two >/proc/self/fd/1; echo three >>/dev/stderr", func(_ string, s *specs.Spec, o *libcontainer.CreateOptions) {
		s.Process.User.UID, s.Process.User.GID = 1000, 1001
		o.Stdin, o.Stderr = null, file
	})
	if out != "one\ntwo\n" {
		t.Errorf("stdout is %q", out)
	}
	if got, err := os.ReadFile(file.Name()); err != nil || string(got) != "three\n" {
		t.Errorf("stderr is %q, %v", got, err)
	}
	for f, want := range map[*os.File]uint32{file: 1000, null: 0} {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Uid != want || st.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, %v; want %d:0", f.Name(), st.Uid, st.Gid, err, want)
		}
	}
}

// TestExecStreamsOwner is the same for a process that joins, of another user.
func TestExecStreamsOwner(t *testing.T) {
	out := execScript(t, "echo again >/proc/self/fd/1", func(*specs.Spec) {}, func(p *specs.Process) { p.User.UID = 1002 })
	if out != "again\n" {
		t.Errorf("output %q", out)
	}
}

// TestExecPersonality: a process that joins has the container's execution domain.
func TestExecPersonality(t *testing.T) {
	for domain, want := range map[specs.LinuxPersonalityDomain]string{specs.PerLinux32: "00000008\n", specs.PerLinux: "00000000\n"} {
		out := execScript(t, "busybox cat /proc/self/personality", func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: domain}
		}, func(*specs.Process) {})
		if out != want {
			t.Errorf("%s: personality is %q", domain, out)
		}
	}
}

// execScript runs a container and in it a shell with a script, and returns that one's output.
func execScript(t *testing.T, script string, container func(*specs.Spec), change func(*specs.Process)) string {
	t.Helper()
	needsRoot(t)
	dir := makeBundle(func(s *specs.Spec) {
		s.Process.Args = []string{"busybox", "sleep", "1000"}
		container(s)
	})
	defer os.RemoveAll(dir)
	bundle, err := specconv.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&libcontainer.Runtime{Root: filepath.Join(dir, "state")}).Run("test", bundle, libcontainer.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(c.Kill(unix.SIGKILL), reap(c.Process()), c.Delete()); err != nil {
			t.Error(err)
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	process, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	process.Args = []string{"sh", "-c", script}
	change(process)
	p, err := c.Exec(process, libcontainer.ExecOptions{Streams: libcontainer.Streams{Stdout: w}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := io.ReadAll(r)
	if err := errors.Join(err, reap(p)); err != nil {
		t.Error(err)
	}
	return string(out)
}

func reap(p *libcontainer.Process) error {
	_, err := p.Wait()
	return err
}

// TestCgroupNamespace: the container's own cgroups are the roots of its cgroup namespace, in all
// hierarchies.
func TestCgroupNamespace(t *testing.T) {
	out := runScript(t, "busybox cat /proc/self/cgroup", func(_ string, s *specs.Spec, _ *libcontainer.CreateOptions) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	})
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, ":/\n") {
			t.Errorf("the container is in %s", line)
		}
	}
	if out == "" {
		t.Error("the container is in no cgroup")
	}
}
