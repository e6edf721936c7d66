package placement

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/libcontainer/internal/state"
	"github.com/orlop/orlop/libcontainer/internal/sys"
	"github.com/orlop/orlop/libcontainer/internal/systemd"
	"github.com/orlop/orlop/libcontainer/setup"
	"github.com/orlop/orlop/specconv"
)

func bundle(change func(*specs.Spec)) *specconv.Bundle {
	s := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{}, Devices: []specs.LinuxDeviceCgroup{{}}}}}
	if change != nil {
		change(s)
	}
	return &specconv.Bundle{Spec: s}
}

func annotated(name string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Annotations = map[string]string{name: "below"} }
}

// TestNew: each manager gives its place, or a fault with the field. Nothing is made or asked.
func TestNew(t *testing.T) {
	for _, tc := range []struct {
		name     string
		config   Config
		change   func(*specs.Spec)
		want     any    // the type of the place
		problem  string // or a part of the error
		warnings string
	}{
		{"cgroupfs", Config{}, nil, &cgroupCreation{}, "", ""},
		{"named", Config{Manager: "cgroupfs"}, nil, &cgroupCreation{}, "", ""},
		{"out", Config{}, func(s *specs.Spec) { s.Linux.CgroupsPath = "/../x" }, nil, "linux.cgroupsPath", ""},
		{"systemd", Config{Manager: "systemd"}, nil, &unitCreation{}, "", ""},
		{"no unit", Config{Manager: "systemd"}, func(s *specs.Spec) { s.Linux.CgroupsPath = "/a/b" }, nil, "linux.cgroupsPath", ""},
		{"property", Config{Manager: "systemd"}, func(s *specs.Spec) {
			s.Annotations = map[string]string{"org.systemd.property.X": "("}
		}, nil, "org.systemd.property.X", ""},
		{"disabled", Config{Manager: "disabled"}, nil, &noCreation{}, "", "linux.resources: devices, pids: not applied"},
		{"disabled, nothing to apply", Config{Manager: "disabled"}, func(s *specs.Spec) { s.Linux = nil }, &noCreation{}, "", ""},
		{"other", Config{Manager: "docker"}, nil, nil, `cgroup manager "docker"`, ""},
		{"subgroup", Config{}, annotated(specconv.SystemdSubgroup), nil, "needs a unit of systemd's", ""},
		{"delegated nothing", Config{Manager: "disabled"}, annotated(specconv.DelegateCgroup), nil, "the container has no cgroup", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var warnings []string
			c := tc.config
			c.ID, c.Dry, c.Bundle, c.Warn = "box", true, bundle(tc.change), func(text string) { warnings = append(warnings, text) }
			place, err := New(c)
			if tc.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tc.problem) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer place.Close()
			var same bool
			switch tc.want.(type) {
			case *cgroupCreation:
				_, same = place.(*cgroupCreation)
			case *unitCreation:
				_, same = place.(*unitCreation)
			case *noCreation:
				_, same = place.(*noCreation)
			}
			if !same {
				t.Errorf("the place is a %T", place)
			}
			if _, none := place.(*noCreation); none {
				if faults := place.Check(); len(faults) > 0 || len(place.Dirs()) > 0 {
					t.Errorf("faults %v, directories %v", faults, place.Dirs())
				}
			} else if !slices.ContainsFunc(place.Dirs(), func(dir string) bool { return strings.Contains(dir, "box") }) {
				t.Errorf("directories %v", place.Dirs())
			}
			if got := strings.Join(warnings, "\n"); !strings.HasPrefix(got, tc.warnings) || tc.warnings == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, tc.warnings)
			}
		})
	}
}

// TestJoin: who waits to be put into the cgroup joins nothing, and who has none neither.
func TestJoin(t *testing.T) {
	unitOf := func(bus systemd.Bus, below bool) Creation {
		c := &unitCreation{cgroupCreation: cgroupCreation{base: base{Config: Config{Bundle: bundle(nil)}}}, below: below}
		c.bus = bus
		return c
	}
	for _, tc := range []struct {
		name   string
		place  Creation
		awaits bool
	}{
		{"none", &noCreation{}, false},
		{"user's systemd", unitOf(systemd.User, false), true},
		{"below a unit", unitOf(systemd.System, true), true},
	} {
		var o setup.Options
		if files := tc.place.Join(&o); len(files) > 0 || len(o.JoinCgroups) > 0 || o.JoinMemory || o.AwaitCgroup != tc.awaits {
			t.Errorf("%s: files %v, options %+v", tc.name, files, o)
		}
	}
}

func TestLoad(t *testing.T) {
	r := state.Open(t.TempDir())
	dir, err := r.Create("box")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	paths := map[string]string{"": "/sys/fs/cgroup/box"}
	if _, ok := Load(&state.Record{CgroupPaths: paths}, dir).(*cgroupfs); !ok {
		t.Error("a cgroup is not one of cgroupfs")
	}
	if u, ok := Load(&state.Record{CgroupPaths: paths, Unit: "box.scope", UnitBus: "user"}, dir).(*unit); !ok || !u.moves() {
		t.Error("a unit of a user is none")
	}
	p := Load(&state.Record{}, dir)
	if _, err := p.Cgroup(); !errors.Is(err, ErrNoCgroup) {
		t.Errorf("cgroup of none: %v", err)
	}
	if _, err := p.Enter(Entering{Subs: []string{"x"}}, &setup.Options{}); !errors.Is(err, ErrNoCgroup) {
		t.Errorf("enter a cgroup below none: %v", err)
	}
	if err := p.Update(&specs.LinuxResources{}, nil); !errors.Is(err, ErrNoCgroup) {
		t.Errorf("update of none: %v", err)
	}
}

// TestProcessesOfNone: without a cgroup and a namespace of its own, a container's processes are
// those that descend from the first one. A signal reaches them all.
func TestProcessesOfNone(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo; wait")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	first, err := sys.Stat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	rec := &state.Record{Pid: cmd.Process.Pid, StartTime: first.StartTime, Namespaces: []state.Namespace{{Type: specs.MountNamespace}}}
	if err := recordNamespaces(rec); err != nil || rec.Namespaces[0].Inode == 0 {
		t.Errorf("namespaces %v, %v", rec.Namespaces, err)
	}
	rec.Namespaces = nil
	n := &none{rec}
	pids, err := n.Processes()
	if err != nil || len(pids) != 3 || !slices.Contains(pids, rec.Pid) || slices.Contains(pids, os.Getpid()) {
		t.Errorf("processes %v of %d, %v", pids, rec.Pid, err)
	}
	held := hold(pids)
	if err := n.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	for _, f := range held {
		if _, err := sys.AwaitExit(f, time.Time{}); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if pids, err := n.Processes(); err != nil || len(pids) > 0 {
		t.Errorf("left are %v, %v", pids, err)
	}
}
