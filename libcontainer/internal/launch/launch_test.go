package launch

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// hook returns the plan of a process that executes a program where it is, which takes no rights.
func hook(t *testing.T, args ...string) *setup.Plan {
	t.Helper()
	plan, err := setup.Hook(specs.Hook{Path: args[0], Args: args}, "/", setup.Join{}, setup.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func descriptors(t *testing.T) int {
	t.Helper()
	_, err := os.ReadFile("/proc/self/stat") // the first one opens Go's poller
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestLaunch: a process from its plan to its end. Nothing of it is left.
func TestLaunch(t *testing.T) {
	before := descriptors(t)
	r, w, err := sys.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(hook(t, "/bin/sh", "-c", "echo $0; exit 3", "hello"), Config{Streams: Streams{Stdout: w}})
	if err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(t.TempDir(), "pid")
	for _, do := range []func() error{
		func() error { return p.Prepare() }, p.OpenDeferred, func() error { return p.Start(-1) },
		func() error { return p.Converse(0) }, p.ReapFirst, func() error { return p.WritePidFile(pidFile) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	child := p.Finish()
	p.Release()
	w.Close()
	if out, err := sys.ReadAll(int(r.Fd()), 10); err != nil || string(out) != "hello\n" {
		t.Errorf("it wrote %q, %v", out, err)
	}
	r.Close()
	if pid, err := os.ReadFile(pidFile); err != nil || string(pid) != strconv.Itoa(child.Pid) {
		t.Errorf("pid file %q, %v", pid, err)
	}
	if status, err := child.Wait(); err != nil || status.ExitStatus() != 3 {
		t.Errorf("status %d, %v", status.ExitStatus(), err)
	}
	child.Pidfd.Close()
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors before, %d after", before, now)
	}
}

// TestAbort: a launch can be given up at any point.
func TestAbort(t *testing.T) {
	steps := func(p *Process) []func() error {
		return []func() error{
			func() error { return p.Prepare() }, func() error { return p.Start(-1) }, func() error { return p.Converse(0) },
			func() error { return p.WritePidFile(filepath.Join(t.TempDir(), "pid")) },
		}
	}
	before := descriptors(t)
	for n := range len(steps(nil)) + 1 {
		p, err := New(hook(t, "/bin/sleep", "1000"), Config{})
		if err != nil {
			t.Fatal(err)
		}
		for _, do := range steps(p)[:n] {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		pid := 0
		if p.proc != nil {
			pid = p.Pid()
		}
		if err := p.Abort(); err != nil {
			t.Errorf("after %d steps: %v", n, err)
		}
		if pid != 0 {
			if err := unix.Kill(pid, 0); err != unix.ESRCH {
				t.Errorf("after %d steps the process is left: %v", n, err)
			}
		}
		if p.pidFile != "" {
			if _, err := os.Stat(p.pidFile); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the pid file is left: %v", err)
			}
		}
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors before, %d after", before, now)
	}
}

// TestFailedStep: the error names the step that failed.
func TestFailedStep(t *testing.T) {
	p, err := New(hook(t, "/not/there"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Prepare()
	if err == nil {
		err = p.Start(-1)
	}
	if err == nil {
		err = p.Converse(0)
	}
	var step *setup.StepError
	if !errors.As(err, &step) || step.Errno != unix.ENOENT {
		t.Errorf("error %v", err)
	}
	if err := p.Abort(); err != nil {
		t.Error(err)
	}
}

// TestKeptFile: a process that enters a PID namespace with others closes the runtime's descriptors
// above the one that it keeps, which so must be the lowest.
func TestKeptFile(t *testing.T) {
	spec := specconv.Example()
	for i, n := range spec.Linux.Namespaces {
		if n.Type == specs.PIDNamespace {
			spec.Linux.Namespaces[i].Path = "/proc/self/ns/pid"
		}
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: "/proc/self/ns/time"})
	dir := t.TempDir()
	text, err := json.Marshal(spec)
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(dir, "rootfs"), 0o755), os.WriteFile(filepath.Join(dir, specconv.ConfigName), text, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := specconv.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, o := range []setup.Options{{}, {StartSocket: true}} {
		plan, err := setup.Container(b, o, setup.Facts{LastCap: unix.CAP_LAST_CAP, Grantable: 1<<(unix.CAP_LAST_CAP+1) - 1,
			SourceIsFile: make([]bool, len(b.Mounts)), ProcOfOthers: true})
		if err != nil {
			t.Fatal(err)
		}
		kept, extra := setup.ReleasePipe, []nsenter.NamedFile{{Name: "other", File: null}}
		if o.StartSocket {
			kept = setup.StartSocket
			extra = append(extra, nsenter.NamedFile{Name: string(kept), File: null})
		}
		p := &Process{plan: plan}
		files, err := p.descriptors(extra)
		if err != nil {
			t.Fatal(err)
		}
		if plan.KeptFile() != kept || len(files) < 3 || files[0].Name != string(kept) {
			t.Errorf("the plan keeps %q, and of %d files %q is the first", plan.KeptFile(), len(files), files[0].Name)
		}
		p.Release()
	}
}

// TestDeferred: a file that cannot be opened is named, and one that can is closed.
func TestDeferred(t *testing.T) {
	p := &Process{Config: Config{Deferred: []Deferred{{"tasks", func() (*os.File, error) { return nil, unix.EACCES }}}}}
	if err := p.OpenDeferred(); !errors.Is(err, unix.EACCES) || err.Error() != "tasks: permission denied" {
		t.Errorf("error %v", err)
	}
}
