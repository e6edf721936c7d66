package setup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/nsenter"
	"github.com/orlop/orlop/specconv"
)

// A trial runs a plan on the real kernel: in new namespaces, with a root filesystem that only has
// busybox.
type trial struct {
	t       *testing.T
	dir     string // the bundle
	spec    *specs.Spec
	options Options
	facts   Facts
	stdin   *os.File
	// onMessage is called for each message. It returns whether the process is to be resumed.
	onMessage func(p *nsenter.Process, m nsenter.Message) bool
	inherit   []*os.File
	// destinations counts the mount points that the runtime was asked to check.
	destinations int
	named        []nsenter.NamedFile
	releasePipe  *os.File // the runtime's end of the last plan's ReleasePipe
	home         string   // the answer to MessageHome, "" for "/"
}

const busybox = "/bin/busybox"

func newTrial(t *testing.T, script string) *trial {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("needs busybox-static: ", err)
	}
	spec := specconv.Example()
	spec.Process.Terminal = false
	spec.Process.Args = []string{"/bin/busybox", "sh", "-c", script}
	spec.Process.Env = append(spec.Process.Env, "HOME=/")
	tr := &trial{t: t, dir: t.TempDir(), spec: spec}
	if err := os.MkdirAll(tr.path("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tr.path("bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("sh ls cat mount env id stat readlink grep ps hostname wc sysctl ip umask test true touch sleep tty stty") {
		if err := os.Symlink("busybox", tr.path("bin/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// path returns a path of the root filesystem.
func (tr *trial) path(name string) string { return filepath.Join(tr.dir, "rootfs", name) }

// write creates a file in the root filesystem.
func (tr *trial) write(name, content string) {
	tr.t.Helper()
	if err := os.MkdirAll(filepath.Dir(tr.path(name)), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(tr.path(name), []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *trial) bundle() *specconv.Bundle {
	tr.t.Helper()
	config, err := json.Marshal(tr.spec)
	if err != nil {
		tr.t.Fatal(err)
	}
	b, err := specconv.Parse(config, tr.dir)
	if err != nil {
		tr.t.Fatal(err)
	}
	return b
}

// run runs the container and returns its output and the error of its setup.
func (tr *trial) run() (string, error) {
	tr.t.Helper()
	plan, err := Container(tr.bundle(), tr.options, tr.facts)
	if err != nil {
		return "", err
	}
	return tr.runPlan(plan)
}

// out runs a container that must succeed, and returns its output.
func (tr *trial) out() string {
	tr.t.Helper()
	out, err := tr.run()
	if err != nil {
		tr.t.Fatalf("%v\noutput: %s", err, out)
	}
	return out
}

func (tr *trial) runPlan(plan *Plan) (string, error) {
	tr.t.Helper()
	prog, err := plan.Lower()
	if err != nil {
		return "", err
	}
	named := tr.named
	for _, d := range plan.Needs() {
		if d.Name == ReleasePipe {
			releasePipe, open, err := os.Pipe()
			if err != nil {
				tr.t.Fatal(err)
			}
			defer releasePipe.Close()
			defer open.Close()
			tr.releasePipe = open
			named = append(named, nsenter.NamedFile{Name: string(d.Name), File: releasePipe})
		}
		if d.Path == "" {
			continue
		}
		f, err := os.Open(d.Path)
		if err != nil {
			tr.t.Fatal(err)
		}
		defer f.Close()
		named = append(named, nsenter.NamedFile{Name: string(d.Name), File: f})
	}
	r, w, err := os.Pipe()
	if err != nil {
		tr.t.Fatal(err)
	}
	defer r.Close()
	launch, err := nsenter.Prepare(prog, nsenter.Start{
		Stdin: tr.stdin, Stdout: w, Stderr: w, Inherit: tr.inherit, Files: named, Cloneflags: plan.Cloneflags,
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	defer launch.Close()
	proc, err := launch.Start(-1)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer proc.Close()
	w.Close()
	serr := tr.serve(plan, prog, proc)
	if serr != nil {
		proc.Conn.Close() // ends a process that waits for an answer, as this one does:
		tr.releasePipe.Close()
	}
	out, err := io.ReadAll(r)
	if err != nil {
		tr.t.Fatal(err)
	}
	status, err := proc.Wait()
	if err != nil {
		tr.t.Fatal(err)
	}
	if serr == nil && status != 0 {
		serr = fmt.Errorf("status %#x", uint32(status))
	}
	return string(out), serr
}

// serve answers the process. A child that replaces it may report a failure before the parent
// announces the child, which must be reaped, too.
func (tr *trial) serve(plan *Plan, prog *nsenter.Program, proc *nsenter.Process) error {
	var failed error
	awaitsChild := plan.Clones()
	for {
		m, err := proc.Conn.Next()
		var f *nsenter.Failure
		switch {
		case err == io.EOF:
			return failed
		case errors.As(err, &f):
			failed = plan.FailedStep(prog, f)
			if awaitsChild {
				continue
			}
			return failed
		case err != nil:
			return err
		}
		awaitsChild = awaitsChild && m.ID != MessageChild
		resume := m.ID == MessageReady || m.ID == MessageHooks || m.ID == MessageStart || m.ID == MessageCopyTo || m.ID == MessageDestination
		if m.ID == MessageDestination {
			tr.destinations++
			var st unix.Statfs_t
			if err := unix.Fstatfs(int(m.File.Fd()), &st); err != nil || st.Type == unix.PROC_SUPER_MAGIC {
				m.File.Close()
				return errors.Join(err, plan.DestinationError(m.Value))
			}
		}
		// The runtime computes the answer; this one is correct if no link dangles.
		if m.ID == MessageMissing {
			m.File.Close()
			wanted, _ := plan.WantedPath(m.Value)
			answer, err := Missing{Parent: filepath.Dir(wanted), Name: filepath.Base(wanted), Last: true}.Encode()
			if err != nil {
				return err
			}
			if err := proc.Conn.Answer(answer); err != nil {
				return err
			}
			continue
		}
		if tr.onMessage != nil {
			resume = tr.onMessage(proc, m)
		}
		if m.File != nil {
			m.File.Close()
		}
		if failed != nil && !awaitsChild {
			return failed
		}
		switch {
		case resume && m.ID == MessageReady && tr.releasePipe != nil:
			if _, err := tr.releasePipe.Write([]byte{1}); err != nil {
				return err
			}
		case m.ID == MessageHome:
			if err := proc.Conn.Answer([]byte(cmp.Or(tr.home, "/"))); err != nil {
				return err
			}
		case resume:
			if err := proc.Conn.Resume(); err != nil {
				return err
			}
		}
	}
}

// hostCgroups are facts of the tests' own cgroups.
func hostCgroups(t *testing.T) CgroupFacts {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var f CgroupFacts
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		dash := len(fields) - 3
		point := fields[4]
		switch fields[dash] {
		case "cgroup":
			var list []string
			for o := range strings.SplitSeq(fields[dash+2], ",") {
				if o != "rw" && o != "xattr" {
					list = append(list, o)
				}
			}
			f.Hierarchies = append(f.Hierarchies, CgroupHierarchy{filepath.Base(point), list, point})
		case "cgroup2":
			f.UnifiedPath = point
		}
	}
	f.Unified = len(f.Hierarchies) == 0
	return f
}

func contains(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("output lacks %q:\n%s", w, out)
		}
	}
}

func TestRunExample(t *testing.T) {
	tr := newTrial(t, `mount; ls -la /dev /sys/fs/cgroup; id; hostname; umask; cat /proc/self/status; ls -l /proc/self/fd; env; ip link; pwd`)
	tr.facts.Cgroup = hostCgroups(t)
	out := tr.out()
	contains(t, out, " on /dev/pts type devpts", "uid=0 gid=0", "orlop\n0022\n", "HOME=/", "NoNewPrivs:\t1", "Seccomp:\t0")
}

// lockNamespace locks the test's goroutine to a thread, with a mount namespace of its own. The
// thread ends with the test.
func lockNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
